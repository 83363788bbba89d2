//! A copy that comes by two connections: the second one, what was kept of the stream meanwhile, and how that is handed out.

use replication::{Input, Output};

use crate::{Action, Engine, LinkId};

impl Engine {
    fn tell_second(&mut self, link: LinkId, input: Input<'_>) -> bool {
        let now_ms = self.now.mono_ms;
        let slave = self.keeper.slave.as_mut();
        let Some(slave) = slave.filter(|slave| slave.second == Some(link)) else {
            return false;
        };
        if matches!(input, Input::SecondLost(_)) {
            slave.second = None;
        }
        slave.link.handle_input(now_ms, input);
        self.perform_link();
        true
    }

    /// The second connection to the primary is made, or is not. False where it is another one.
    pub(super) fn second_opened(&mut self, link: LinkId, result: &Result<(), String>) -> bool {
        self.tell_second(
            link,
            match result {
                Ok(()) => Input::SecondConnected,
                Err(why) => Input::SecondLost(why),
            },
        )
    }

    /// Bytes came by the second connection. False where it is another one.
    pub(super) fn second_received(&mut self, link: LinkId, bytes: &[u8]) -> bool {
        let known = self.tell_second(link, Input::SecondReceived(bytes));
        if known {
            self.count_received(bytes.len());
        }
        known
    }

    /// The second connection ended. False where it is another one.
    pub(super) fn second_closed(&mut self, link: LinkId) -> bool {
        self.tell_second(link, Input::SecondLost("it was closed by the primary"))
    }

    /// Others have had their turn ([`Action::ResumeLink`]).
    pub fn link_goes_on(&mut self, link: LinkId) {
        let now_ms = self.now.mono_ms;
        let slave = self.keeper.slave.as_mut();
        if let Some(slave) = slave.filter(|slave| slave.socket == Some(link)) {
            slave.link.handle_input(now_ms, Input::GoOn);
            self.perform_link();
        }
    }

    /// What the link wants of two connections.
    pub(super) fn perform_dual(&mut self, output: Output) {
        match output {
            Output::OpenSecond => self.open_second(),
            Output::SendSecond(bytes) => {
                let slave = self.keeper.slave.as_ref();
                if let Some(link) = slave.and_then(|slave| slave.second) {
                    self.act(Action::SendLink { link, bytes });
                }
            }
            Output::CloseSecond => {
                let slave = self.keeper.slave.as_mut();
                if let Some(link) = slave.and_then(|slave| slave.second.take()) {
                    self.host.hang_up(link);
                    self.act(Action::CloseLink { link });
                }
            }
            Output::Unneeded(kept) => {
                self.meter.stats.removed.freed_later += 1;
                self.host.free_later(vec![Box::new(kept)]);
            }
            Output::Room(room) => {
                if let Some(link) = self.first_link() {
                    self.act(Action::LimitLink { link, room });
                }
            }
            Output::Later => {
                if let Some(link) = self.first_link() {
                    self.act(Action::ResumeLink { link });
                }
            }
            Output::CaughtUp => {
                tracing::info!(
                    "Dual channel replication: Successfully streamed replication data into memory"
                );
                tracing::info!("PRIMARY <-> REPLICA sync: Finished with success");
                self.send_ack();
            }
            // The others are for one connection.
            _ => {}
        }
    }

    /// Sends bytes over the first connection.
    pub(super) fn send_first(&mut self, bytes: Vec<u8>) {
        let Some(slave) = &self.keeper.slave else {
            return;
        };
        if self.switches.stops_after_fork && slave.link.asks_behind_dump() {
            self.host.stop();
        }
        if let Some(link) = slave.socket {
            self.act(Action::SendLink { link, bytes });
        }
    }

    fn first_link(&self) -> Option<LinkId> {
        self.keeper.slave.as_ref().and_then(|slave| slave.socket)
    }

    fn open_second(&mut self) {
        let link = self.new_link();
        let Some(slave) = &mut self.keeper.slave else {
            return;
        };
        slave.second = Some(link);
        slave.most_buffered = 0;
        let (host, port) = (slave.host.clone(), slave.port);
        self.act(Action::OpenLink { link, host, port });
    }

    /// What is kept of the primary's stream while a dump comes by another connection: its bytes, the most that it was since the last such
    /// copy began, and what it takes in memory.
    pub(crate) fn buffered_stream(&self) -> (u64, u64, usize) {
        self.keeper.slave.as_ref().map_or((0, 0, 0), |slave| {
            let (bytes, memory) = slave.link.buffered();
            (bytes, slave.most_buffered, memory)
        })
    }
}
