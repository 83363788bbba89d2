//! A copy whose dump comes by a second connection (dual-channel replication): meanwhile the first one brings the stream behind it, which is
//! kept here and handed out once the dump is loaded. The primary has nothing to keep for this replica, unless more comes than may be kept.
//!
//! The two connections go on independently of one another: the dump may be loaded before the stream is agreed upon. Whatever fails on
//! either, both are given up, and the next attempt begins anew.

use super::{Event, Link, Output, Place, Step, request};
use crate::Backlog;
use crate::channel::{Channel, EndOffset};
use crate::transfer::DumpPart;

/// So much of what was kept is handed out before others have their turn.
const TURN_BYTES: u64 = 256 * 1024;

/// The state of such a copy.
#[derive(Debug)]
pub(super) struct Dual {
    channel: Channel,
    /// The second connection is open, or being made.
    open: bool,
    /// Where the dump stands.
    end: Option<EndOffset>,
    /// The dump has come whole.
    whole: bool,
    loaded: bool,
    /// The stream behind the dump, and how much of it was handed out.
    kept: Backlog,
    taken: u64,
    /// No more may be kept.
    full: bool,
}

impl Dual {
    pub(super) fn is_loading(&self) -> bool {
        self.whole && !self.loaded
    }

    pub(super) fn transfer_left(&self) -> Option<u64> {
        self.channel.left()
    }

    /// When something last came by the second connection, while the dump comes.
    pub(super) fn active_ms(&self) -> Option<u64> {
        (!self.whole).then_some(self.channel.active_ms)
    }

    pub(super) fn set_active(&mut self, now_ms: u64) {
        self.channel.active_ms = now_ms;
    }

    pub(super) fn announced(&self) -> Option<Place> {
        self.end.as_ref().map(|end| end.place.clone())
    }

    fn bytes(&self) -> u64 {
        self.kept.offset() - self.taken
    }
}

impl Link {
    /// How much of the stream is kept while a dump comes by a second connection: its bytes, and what they take in memory.
    #[must_use]
    pub fn buffered(&self) -> (u64, usize) {
        let dual = self.dual.as_ref();
        dual.map_or((0, 0), |dual| (dual.bytes(), dual.kept.memory()))
    }

    /// Whether a copy is made whose dump comes by a second connection.
    #[must_use]
    pub fn is_dual(&self) -> bool {
        self.dual.is_some()
    }

    /// Whether the stream behind a dump that comes by a second connection is being asked for.
    #[must_use]
    pub fn asks_behind_dump(&self) -> bool {
        self.step == Step::DualPsync
    }

    /// The primary wants to send the dump by a second connection.
    pub(super) fn begin_dual(&mut self) {
        self.note("Dual channel replication: PSYNC is not possible, initialize RDB channel.");
        self.step = Step::AwaitOffset;
        self.dual = Some(Dual {
            channel: Channel::new(self.active_ms),
            open: true,
            end: None,
            whole: false,
            loaded: false,
            kept: Backlog::new(0, 0),
            taken: 0,
            full: false,
        });
        self.outputs.push_back(Output::OpenSecond);
    }

    /// The copy is given up, or was never one of this kind.
    pub(super) fn leave_dual(&mut self) {
        let Some(dual) = self.dual.take() else {
            return;
        };
        if dual.open {
            self.outputs.push_back(Output::CloseSecond);
        }
        if dual.bytes() > 0 {
            self.outputs.push_back(Output::Unneeded(dual.kept));
        }
    }

    fn give_up_dual(&mut self, why: &str) {
        self.give_up(format!(
            "Dual channel replication: Aborting dual channel sync. {why}"
        ));
    }

    pub(super) fn second_connected(&mut self, now_ms: u64) {
        let Some(dual) = &mut self.dual else { return };
        dual.channel.active_ms = now_ms;
        let event = dual.channel.connected(&self.config);
        self.second_event(event);
    }

    pub(super) fn second_lost(&mut self, why: &str) {
        let Some(dual) = &mut self.dual else { return };
        dual.open = false;
        if !dual.whole {
            self.give_up_dual(&format!("The RDB connection was lost: {why}"));
        }
    }

    pub(super) fn second_received(&mut self, now_ms: u64, bytes: &[u8]) {
        let Some(dual) = &mut self.dual else { return };
        dual.channel.active_ms = now_ms;
        let mut events = Vec::new();
        dual.channel.received(&self.config, bytes, &mut events);
        for event in events {
            self.second_event(event);
        }
    }

    fn second_event(&mut self, event: Event) {
        let Some(dual) = &mut self.dual else { return };
        match event {
            Event::Send(words) => self.outputs.push_back(Output::SendSecond(request(&words))),
            Event::EndOffset(end) => {
                let client = end.client.to_string();
                dual.end = Some(end);
                self.send(
                    Step::SecondId,
                    &[b"REPLCONF", b"set-rdb-client-id", client.as_bytes()],
                );
            }
            Event::Dump(DumpPart::Whole) => {
                (dual.whole, dual.open) = (true, false);
                let place = dual.announced();
                self.outputs.push_back(Output::CloseSecond);
                self.outputs.push_back(Output::Load(place));
            }
            Event::Dump(part) => self.dump_part(part),
            Event::Failed(why) => self.give_up_dual(&why),
        }
    }

    /// The primary knows which connection the dump comes by, or does not.
    pub(super) fn second_id_answer(&mut self, line: &str) {
        let end = self.dual.as_ref().and_then(|dual| dual.end.as_ref());
        let Some((id, offset)) = end.map(|end| end.place.clone()) else {
            return;
        };
        if line.starts_with('-') {
            return self.give_up_dual(&format!(
                "Primary does not understand REPLCONF identify: {line}"
            ));
        }
        let offset = offset.saturating_add(1).to_string();
        self.note(format!(
            "Dual channel replication: Trying a partial resynchronization using main channel (request {id}:{offset})."
        ));
        self.send(
            Step::DualPsync,
            &[b"PSYNC", id.as_bytes(), offset.as_bytes()],
        );
    }

    pub(super) fn dual_psync_answer(&mut self, line: &str) {
        let Some(dual) = &self.dual else { return };
        let end = dual.end.as_ref();
        let id = end.map_or("", |end| end.place.0.as_str());
        let continued = line.strip_prefix("+CONTINUE").is_some_and(|rest| {
            let mut named = rest.split_ascii_whitespace();
            named.next().is_none_or(|name| name == id)
        });
        if !continued {
            return self.give_up_dual(&format!("Main channel psync result: {line}"));
        }
        let loaded = dual.loaded;
        self.note(
            "Dual channel replication: PRIMARY <-> REPLICA sync: Primary accepted a Partial Resynchronization, RDB load in background.",
        );
        self.step = Step::Buffering;
        if loaded {
            self.note("Dual channel replication: Psync established after rdb load");
            self.begin_drain();
        } else if self.config.most_buffered > 0 {
            let room = Some(self.config.most_buffered);
            self.outputs.push_back(Output::Room(room));
        }
    }

    /// Keeps bytes of the stream.
    pub(super) fn buffer<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let most = self.config.most_buffered;
        if let Some(dual) = &mut self.dual {
            dual.kept.feed(bytes);
            let full = most > 0 && dual.bytes() >= most;
            if full && !std::mem::replace(&mut dual.full, true) {
                self.note(format!(
                    "Dual channel replication: Replication buffer limit reached ({most} bytes), stopping buffering. Further accumulation will occur on primary side."
                ));
            }
        }
        &[]
    }

    /// The dump has been loaded.
    pub(super) fn dual_loaded(&mut self) {
        if let Some(dual) = &mut self.dual {
            dual.loaded = true;
        }
        if self.step == Step::Buffering {
            self.begin_drain();
        }
    }

    /// Nothing more is read until what was kept is handed out: so that has an end.
    fn begin_drain(&mut self) {
        self.step = Step::Draining;
        self.outputs.push_back(Output::Room(Some(0)));
        self.drain();
    }

    /// Others have had their turn.
    pub(super) fn go_on(&mut self) {
        if self.step == Step::Draining {
            self.drain();
        }
    }

    fn drain(&mut self) {
        let Some(dual) = &mut self.dual else { return };
        let until = dual.taken.saturating_add(TURN_BYTES);
        while dual.taken < until
            && let Some(slice @ [_, ..]) = dual.kept.slice(dual.taken)
        {
            dual.taken += slice.len() as u64;
            self.outputs.push_back(Output::Stream(slice.to_vec()));
        }
        dual.kept.trim(Some(dual.taken));
        if dual.bytes() > 0 {
            return self.outputs.push_back(Output::Later);
        }
        self.dual = None;
        self.step = Step::Streaming;
        self.outputs.push_back(Output::Room(None));
        self.outputs.push_back(Output::CaughtUp);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Input, State};

    const ID: &str = "0123456789012345678901234567890123456789";

    fn config() -> Config {
        Config {
            port: 7,
            ip: None,
            user: None,
            password: None,
            timeout_ms: 60_000,
            node_id: None,
            dual_channel: true,
            takes_sibling: false,
            most_buffered: 100,
        }
    }

    /// A link whose primary wants a second connection.
    fn asked(config: Config) -> Link {
        let mut link = Link::new(0, config, None);
        link.handle_timeout(0);
        link.handle_input(0, Input::Connected);
        link.handle_input(0, Input::Received(b"+PONG\r\n+OK\r\n+OK\r\n+OK\r\n"));
        link.handle_input(0, Input::Received(b"+DUALCHANNELSYNC\r\n"));
        assert_eq!(outputs(&mut link).last(), Some(&Output::OpenSecond));
        assert_eq!(link.state(), State::Handshake);
        link
    }

    /// What is to be done but for lines in the log.
    fn outputs(link: &mut Link) -> Vec<Output> {
        let all = std::iter::from_fn(|| link.poll_output());
        all.filter(|output| !matches!(output, Output::Log(..)))
            .collect()
    }

    fn first(link: &mut Link, bytes: &[u8]) -> Vec<Output> {
        link.handle_input(1, Input::Received(bytes));
        outputs(link)
    }

    fn second(link: &mut Link, bytes: &[u8]) -> Vec<Output> {
        link.handle_input(1, Input::SecondReceived(bytes));
        outputs(link)
    }

    /// The second connection is made, and tells the place.
    fn placed(link: &mut Link) {
        link.handle_input(1, Input::SecondConnected);
        let sent = outputs(link);
        let options = "REPLCONF capa eof rdb-only 1 rdb-channel 1 listening-port 7 version 9.1.0";
        let options: Vec<&str> = options.split(' ').collect();
        assert_eq!(sent, [Output::SendSecond(request(&options))]);
        let sent = second(link, b"+OK\r\n");
        assert_eq!(sent, [Output::SendSecond(request(&["SYNC"]))]);
        let sent = second(link, format!("\n$ENDOFF:70 {ID} -1 9\r\n").as_bytes());
        let told = request(&["REPLCONF", "set-rdb-client-id", "9"]);
        assert_eq!(sent, [Output::Send(told)]);
        let sent = first(link, b"+OK\r\n");
        assert_eq!(sent, [Output::Send(request(&["PSYNC", ID, "71"]))]);
    }

    fn stream(outputs: &[Output]) -> Vec<u8> {
        let parts = outputs.iter().filter_map(|output| match output {
            Output::Stream(bytes) => Some(&bytes[..]),
            _ => None,
        });
        parts.collect::<Vec<_>>().concat()
    }

    fn place() -> Option<crate::Place> {
        Some((ID.to_owned(), 70))
    }

    #[test]
    fn the_stream_is_kept_until_the_dump_is_loaded() {
        let mut link = asked(config());
        placed(&mut link);
        let told = first(&mut link, format!("+CONTINUE {ID}\r\none").as_bytes());
        assert_eq!(told, [Output::Room(Some(100))]);
        assert_eq!(
            second(&mut link, b"$4\r\nDU")[0],
            Output::BeginTransfer(Some(4))
        );
        assert_eq!(link.transfer_left(), Some(2));
        assert_eq!(first(&mut link, b"two"), []);
        assert_eq!(link.buffered().0, 6);
        let told = second(&mut link, b"MP");
        assert_eq!(told[1..], [Output::CloseSecond, Output::Load(place())]);
        assert!(link.is_loading());
        assert_eq!(first(&mut link, b"three"), []);
        assert_eq!(link.state(), State::Sync);
        link.handle_input(1, Input::Loaded);
        let told = outputs(&mut link);
        assert_eq!(told[0], Output::Room(Some(0)));
        assert_eq!(stream(&told), b"onetwothree");
        assert_eq!(
            told[told.len() - 2..],
            [Output::Room(None), Output::CaughtUp]
        );
        assert_eq!(link.state(), State::Connected);
        assert_eq!(
            first(&mut link, b"four"),
            [Output::Stream(b"four".to_vec())]
        );
    }

    #[test]
    fn a_dump_may_be_loaded_before_the_stream_is_agreed_upon() {
        let mut link = asked(config());
        placed(&mut link);
        let mark = ID.replace('0', "m");
        second(&mut link, format!("$EOF:{mark}\r\nDUMP{mark}").as_bytes());
        link.handle_input(1, Input::Loaded);
        assert_eq!(outputs(&mut link), []);
        assert_eq!(link.state(), State::Sync);
        assert!(!link.is_loading());
        let told = first(&mut link, b"+CONTINUE\r\n");
        assert_eq!(told.last(), Some(&Output::CaughtUp));
        assert_eq!(link.state(), State::Connected);
    }

    #[test]
    fn much_is_handed_out_in_turns() {
        let mut link = asked(Config {
            takes_sibling: false,
            most_buffered: 0,
            ..config()
        });
        placed(&mut link);
        first(&mut link, b"+CONTINUE\r\n");
        let piece: Vec<u8> = (0..=255).cycle().take(200_000).collect();
        (0..5).for_each(|_| drop(first(&mut link, &piece)));
        second(&mut link, b"$1\r\nD");
        link.handle_input(1, Input::Loaded);
        let mut all = Vec::new();
        for turn in 0.. {
            let told = outputs(&mut link);
            let now = stream(&told);
            assert!(now.len() < 2 * 256 * 1024, "{}", now.len());
            all.extend(now);
            match told.last() {
                Some(Output::Later) => {
                    assert_eq!(link.state(), State::Sync);
                    link.handle_input(1, Input::GoOn);
                }
                last => {
                    assert_eq!(last, Some(&Output::CaughtUp));
                    assert!(turn > 1);
                    break;
                }
            }
        }
        assert_eq!(all, piece.repeat(5));
    }

    #[test]
    fn what_fails_on_either_connection_ends_both() {
        let fails: [fn(&mut Link); 7] = [
            |link| link.handle_input(1, Input::SecondLost("refused")),
            |link| link.handle_input(1, Input::SecondReceived(b"-ERR no\r\n")),
            |link| link.handle_input(1, Input::SecondReceived(b"$ENDOFF:x\r\n")),
            |link| link.handle_input(1, Input::SecondReceived(&[b'x'; 5000])),
            |link| link.handle_input(1, Input::Received(b"-ERR Unrecognized RDB client id 9\r\n")),
            |link| link.handle_input(1, Input::Received(b"+OK\r\n+DUALCHANNELSYNC\r\n")),
            |link| link.handle_timeout(60_002),
        ];
        for (number, fail) in fails.into_iter().enumerate() {
            let mut link = asked(config());
            link.handle_input(1, Input::SecondConnected);
            second(&mut link, b"+OK\r\n");
            if number > 3 {
                second(&mut link, format!("$ENDOFF:70 {ID} 0 9\r\n").as_bytes());
            }
            outputs(&mut link);
            fail(&mut link);
            let mut told = outputs(&mut link);
            told.retain(|output| !matches!(output, Output::Send(_) | Output::SendSecond(_)));
            let lost = [Output::Close];
            let closed = [Output::CloseSecond, Output::Close];
            let wanted = if number == 0 { &lost[..] } else { &closed };
            assert_eq!(told, wanted, "{number}");
            assert_eq!(link.state(), State::Connect);
        }
    }

    #[test]
    fn a_first_connection_that_ends_takes_the_second_with_it() {
        let mut link = asked(config());
        placed(&mut link);
        first(&mut link, b"+CONTINUE\r\nkept");
        link.handle_input(2, Input::Lost);
        let told = outputs(&mut link);
        assert_eq!(told[0], Output::CloseSecond);
        assert!(matches!(told[1], Output::Unneeded(_)));
        assert_eq!(link.state(), State::Connect);
        assert!(!link.is_loading());
    }

    #[test]
    fn no_more_is_kept_than_the_limit_and_that_is_told_once() {
        let mut link = asked(config());
        placed(&mut link);
        first(&mut link, b"+CONTINUE\r\n");
        link.handle_input(2, Input::Received(&[b'x'; 100]));
        let logged = |link: &mut Link| {
            let all: Vec<Output> = std::iter::from_fn(|| link.poll_output()).collect();
            let tells = |output: &&Output| matches!(output, Output::Log(_, line) if line.contains("limit reached (100 bytes)"));
            all.iter().filter(tells).count()
        };
        assert_eq!(logged(&mut link), 1);
        link.handle_input(2, Input::Received(b"x"));
        assert_eq!(logged(&mut link), 0);
    }

    #[test]
    fn a_dump_that_stalls_is_given_up_though_the_stream_goes_on() {
        let mut link = asked(config());
        placed(&mut link);
        first(&mut link, b"+CONTINUE\r\n");
        link.handle_input(50_000, Input::Received(b"x"));
        link.handle_timeout(60_002);
        assert!(outputs(&mut link).contains(&Output::Close));
        // One that is being loaded takes its time.
        let mut link = asked(config());
        placed(&mut link);
        second(&mut link, b"$1\r\nD");
        link.handle_timeout(1_000_000);
        assert_eq!(outputs(&mut link), []);
    }

    #[test]
    fn who_did_not_offer_two_connections_is_not_talked_into_it() {
        let mut link = Link::new(
            0,
            Config {
                dual_channel: false,
                ..config()
            },
            None,
        );
        link.handle_timeout(0);
        link.handle_input(0, Input::Connected);
        let lines = b"+PONG\r\n+OK\r\n+OK\r\n+OK\r\n+DUALCHANNELSYNC\r\n";
        link.handle_input(0, Input::Received(lines));
        let told = outputs(&mut link);
        assert!(!told.contains(&Output::OpenSecond));
        assert_eq!(told.last(), Some(&Output::Send(request(&["SYNC"]))));
    }
}
