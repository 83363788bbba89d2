//! What is sent: request bytes that are written once, with holes for the numbers drawn anew for each request.

/// The byte that marks a hole in an argument: a run of it becomes as many digits, of a number that is drawn as the request says.
const HOLE: u8 = b'@';
/// Marks a hole of random digits, whatever the request says.
const RANDOM: u8 = b'#';

/// Where the number in a hole comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Draw {
    /// Any number below this one.
    Below(u64),
    /// The next of a sequence that all requests of a load share, starting over at this number.
    Next(u64),
    /// Any number that the sequence has passed.
    Passed,
}

/// One request: its bytes, its holes, and what goes into them.
#[derive(Debug, Clone)]
pub struct Request {
    bytes: Vec<u8>,
    holes: Vec<Hole>,
}

#[derive(Debug, Clone, Copy)]
struct Hole {
    at: usize,
    digits: usize,
    draw: Draw,
}

impl Request {
    /// A request of these arguments. Each run of `@` in them is a hole for a number that `draw` gives, each run of `#` one for
    /// random digits.
    #[must_use]
    pub fn new<A: AsRef<[u8]>>(args: &[A], draw: Draw) -> Self {
        Self::raw(array(args), draw)
    }

    /// A request of these very bytes, such as an inline command.
    #[must_use]
    pub fn raw(bytes: Vec<u8>, draw: Draw) -> Self {
        let mut holes: Vec<Hole> = Vec::new();
        let mut at = 0;
        for run in bytes.chunk_by(|one, other| one == other) {
            let digits = run.len();
            match run[0] {
                HOLE => holes.push(Hole { at, digits, draw }),
                RANDOM => holes.push(Hole {
                    at,
                    digits,
                    draw: Draw::Below(10_u64.saturating_pow(u32::try_from(digits).unwrap_or(20))),
                }),
                _ => {}
            }
            at += digits;
        }
        Request { bytes, holes }
    }
}

/// The bytes of a request of these arguments, as they are.
#[must_use]
pub fn array<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// The requests of a load, in turn, and the numbers that go into them.
#[derive(Debug)]
pub struct Script {
    requests: Vec<Request>,
    /// The next number of [`Draw::Next`].
    next: u64,
    noise: u64,
}

impl Script {
    /// These requests, one after the other and over again.
    #[must_use]
    pub fn new(requests: Vec<Request>) -> Self {
        Script {
            requests,
            next: 0,
            noise: 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// The same, with the shared sequence at `next`.
    #[must_use]
    pub fn starting_at(mut self, next: u64) -> Self {
        self.next = next;
        self
    }

    /// The distinct batches that pipelines of this length send, in turn.
    #[must_use]
    pub fn batches(&self, pipeline: usize) -> Vec<Request> {
        let (pipeline, kinds) = (pipeline.max(1), self.requests.len());
        let distinct = if pipeline.is_multiple_of(kinds) {
            1
        } else {
            kinds
        };
        let mut turn = self.requests.iter().cycle();
        (0..distinct)
            .map(|_| concatenated(turn.by_ref().take(pipeline)))
            .collect()
    }

    /// Draws the numbers of a batch and returns its bytes.
    pub fn fill<'b>(&mut self, batch: &'b mut Request) -> &'b [u8] {
        for hole in &batch.holes {
            let number = match hole.draw {
                Draw::Below(end) => self.random(end),
                Draw::Passed => self.random(self.next),
                Draw::Next(end) => {
                    let number = self.next % end.max(1);
                    self.next += 1;
                    number
                }
            };
            write_digits(&mut batch.bytes[hole.at..hole.at + hole.digits], number);
        }
        &batch.bytes
    }

    /// A number below `end`.
    fn random(&mut self, end: u64) -> u64 {
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 7;
        self.noise ^= self.noise << 17;
        let scaled = (u128::from(self.noise) * u128::from(end)) >> 64;
        u64::try_from(scaled).unwrap_or(0)
    }
}

fn concatenated<'r>(requests: impl Iterator<Item = &'r Request>) -> Request {
    let (mut bytes, mut holes) = (Vec::new(), Vec::new());
    for request in requests {
        let start = bytes.len();
        bytes.extend_from_slice(&request.bytes);
        holes.extend(request.holes.iter().map(|hole| Hole {
            at: hole.at + start,
            ..*hole
        }));
    }
    Request { bytes, holes }
}

/// Writes a number right-aligned, zeros before it; what does not fit is cut off at the left.
fn write_digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b"0123456789"[usize::try_from(number % 10).unwrap_or(0)];
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn holes_are_filled_in_order_and_start_over() {
        let request = Request::new(&["MSET", "a:@@@", "x", "b:@@", "y"], Draw::Next(3));
        let mut script = Script::new(vec![request]);
        let mut batch = script.batches(2).remove(0);
        assert_eq!(
            text(script.fill(&mut batch)),
            "*5\r\n$4\r\nMSET\r\n$5\r\na:000\r\n$1\r\nx\r\n$4\r\nb:01\r\n$1\r\ny\r\n\
             *5\r\n$4\r\nMSET\r\n$5\r\na:002\r\n$1\r\nx\r\n$4\r\nb:00\r\n$1\r\ny\r\n"
        );
    }

    #[test]
    fn requests_take_turns_through_batches_of_any_length() {
        let both = || {
            vec![
                Request::raw(b"G@\r\n".to_vec(), Draw::Passed),
                Request::raw(b"S@\r\n".to_vec(), Draw::Next(9)),
            ]
        };
        let mut script = Script::new(both()).starting_at(1);
        let mut batches = script.batches(1);
        assert_eq!(batches.len(), 2);
        assert_eq!(text(script.fill(&mut batches[0])), "G0\r\n");
        assert_eq!(text(script.fill(&mut batches[1])), "S1\r\n");
        let batches = Script::new(both()).batches(16);
        assert_eq!((batches.len(), batches[0].bytes.len()), (1, 64));
        let batches = Script::new(both()).batches(3);
        assert_eq!(text(&batches[1].bytes), "S@\r\nG@\r\nS@\r\n");
    }

    #[test]
    fn random_digits_do_not_touch_the_sequence() {
        let request = Request::raw(b"ZADD z ###### m:@@\r\n".to_vec(), Draw::Next(100));
        let mut script = Script::new(vec![request]);
        let mut batch = script.batches(1).remove(0);
        let mut scores = std::collections::BTreeSet::new();
        for member in 0..20 {
            let line = text(script.fill(&mut batch));
            assert!(line.ends_with(&format!(" m:{member:02}\r\n")), "{line}");
            scores.insert(line[7..13].to_owned());
        }
        assert!(scores.len() > 15, "{scores:?}");
    }

    #[test]
    fn random_numbers_cover_the_range_and_stay_in_it() {
        let mut script = Script::new(vec![Request::raw(b"@".to_vec(), Draw::Below(7))]);
        let mut batch = script.batches(1).remove(0);
        let mut seen = [0; 10];
        for _ in 0..7000 {
            seen[usize::from(script.fill(&mut batch)[0] - b'0')] += 1;
        }
        assert!(seen[..7].iter().all(|&count| count > 800), "{seen:?}");
        assert_eq!(seen[7..], [0; 3]);
    }
}
