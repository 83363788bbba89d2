//! Which connections CLIENT LIST and CLIENT KILL mean: the filters behind them, on the server and on the sentinel.
//!
//! Filters are pairs of an option and a value, and all have to hold; `NOT-` in front of most options turns them round. Of an option that
//! comes twice the last value counts, but ids add up.

use commands::args::{self, Reader};
use commands::{Args, Error};
use resp::number::parse_i64;

/// The letters that a connection's state can have.
const FLAG_LETTERS: &[u8] = b"OSMPxbtRBdcuAUreTIiEN";
/// The letters of capabilities.
const CAPA_LETTERS: &[u8] = b"r";

/// What a connection is to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A client.
    Normal,
    /// The link to our primary.
    Primary,
    /// A replica of ours.
    Replica,
    /// A client with subscriptions.
    PubSub,
}

impl Kind {
    fn read(word: &[u8]) -> Result<Self, Error> {
        Ok(match word.to_ascii_lowercase().as_slice() {
            b"normal" => Self::Normal,
            b"slave" | b"replica" => Self::Replica,
            b"pubsub" => Self::PubSub,
            b"master" | b"primary" => Self::Primary,
            _ => return Err(Error::quoting("ERR Unknown client type '", word, "'")),
        })
    }
}

/// What filters look at.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// CLIENT ID.
    pub id: u64,
    /// What it is to others.
    pub kind: Kind,
    /// `ip:port`, with brackets around an IPv6 address.
    pub addr: &'a str,
    /// The same of this end.
    pub local_addr: &'a str,
    /// The name of its user; none for who may do everything.
    pub user: Option<&'a [u8]>,
    /// CLIENT SETNAME; empty where there is none.
    pub name: &'a [u8],
    /// CLIENT SETINFO's name and version; empty where there is none.
    pub library: [&'a str; 2],
    /// The selected database.
    pub db: usize,
    /// The letters of its state.
    pub flags: &'a str,
    /// The letters of what it is capable of.
    pub capabilities: &'a str,
    /// Seconds since it sent something.
    pub idle_seconds: u64,
    /// Seconds since it came.
    pub age_seconds: u64,
}

/// What a daemon knows about values.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// Whether there is a user of this name.
    pub is_user: &'a dyn Fn(&[u8]) -> bool,
    /// How many databases there are.
    pub databases: usize,
}

impl std::fmt::Debug for Known<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} databases", self.databases)
    }
}

/// The values of the options that came.
#[derive(Debug, Default)]
struct Conditions<'a> {
    ids: Option<Vec<u64>>,
    kind: Option<Kind>,
    addr: Option<&'a [u8]>,
    local_addr: Option<&'a [u8]>,
    ip: Option<&'a [u8]>,
    user: Option<&'a [u8]>,
    name: Option<&'a [u8]>,
    library: [Option<&'a [u8]>; 2],
    db: Option<usize>,
    flags: Option<&'a [u8]>,
    capabilities: Option<&'a [u8]>,
}

impl<'a> Conditions<'a> {
    /// Takes the value of an option, if there is such an option.
    fn read(
        &mut self,
        option: &[u8],
        negated: bool,
        reader: &mut Reader<'a>,
        known: Known<'_>,
    ) -> Result<(), Error> {
        if option == b"id" {
            return read_ids(self.ids.get_or_insert_default(), reader);
        }
        // Without its value an option is nothing.
        let value = reader.word()?;
        let not = if negated { "NOT-" } else { "" };
        match option {
            b"type" => self.kind = Some(Kind::read(value)?),
            b"addr" => self.addr = Some(value),
            b"laddr" => self.local_addr = Some(value),
            b"ip" => self.ip = Some(value),
            b"user" if !(known.is_user)(value) => {
                return Err(Error::quoting("ERR No such user '", value, "'"));
            }
            b"user" => self.user = Some(value),
            b"name" => self.name = Some(value),
            b"lib-name" => self.library[0] = Some(value),
            b"lib-ver" => self.library[1] = Some(value),
            b"db" => self.db = Some(database(value, not, known.databases)?),
            b"flags" => self.flags = Some(letters(value, FLAG_LETTERS, not, "flags")?),
            b"capa" => self.capabilities = Some(letters(value, CAPA_LETTERS, not, "capa")?),
            _ => return Err(Error::Syntax),
        }
        Ok(())
    }

    /// Of each condition, whether it holds.
    fn verdicts(&self, facts: &Facts<'_>) -> impl Iterator<Item = bool> {
        let text = |wanted: Option<&[u8]>, own: &[u8]| {
            wanted.map(|wanted| !own.is_empty() && own == wanted)
        };
        let within = |wanted: Option<&[u8]>, own: &str| {
            wanted.map(|wanted| wanted.iter().all(|letter| own.as_bytes().contains(letter)))
        };
        let [library_name, library_version] = self.library;
        [
            self.ids.as_ref().map(|ids| ids.contains(&facts.id)),
            self.kind.map(|kind| kind == facts.kind),
            self.addr.map(|addr| addr == facts.addr.as_bytes()),
            self.local_addr
                .map(|addr| addr == facts.local_addr.as_bytes()),
            self.ip.map(|ip| ip_of(facts.addr) == Some(ip)),
            self.user.map(|user| facts.user == Some(user)),
            text(self.name, facts.name),
            text(library_name, facts.library[0].as_bytes()),
            text(library_version, facts.library[1].as_bytes()),
            self.db.map(|db| db == facts.db),
            within(self.flags, facts.flags),
            within(self.capabilities, facts.capabilities),
        ]
        .into_iter()
        .flatten()
    }
}

/// The IP of `ip:port` and `[ip]:port`; none of what is no such address.
fn ip_of(addr: &str) -> Option<&[u8]> {
    let (ip, port) = addr.rsplit_once(':')?;
    let ip = ip.strip_prefix('[').unwrap_or(ip);
    let ip = ip.strip_suffix(']').unwrap_or(ip);
    (port != "0").then_some(ip.as_bytes())
}

/// All filters of a request.
#[derive(Debug, Default)]
pub struct Filter<'a> {
    wanted: Conditions<'a>,
    unwanted: Conditions<'a>,
    idle_seconds: Option<u64>,
    age_seconds: Option<u64>,
    /// SKIPME, where it came.
    pub skip_me: Option<bool>,
}

impl<'a> Filter<'a> {
    /// The connection from this address.
    #[must_use]
    pub fn of_addr(addr: &'a [u8]) -> Self {
        let mut filter = Self::default();
        filter.wanted.addr = Some(addr);
        filter
    }

    /// Reads the options from word `from` on.
    ///
    /// # Errors
    /// The first option that is wrong.
    pub fn read(words: Args<'a>, from: usize, known: Known<'_>) -> Result<Self, Error> {
        let mut filter = Self::default();
        let mut reader = Reader::from(words, from);
        while !reader.is_empty() {
            let option = reader.word()?.to_ascii_lowercase();
            match option.as_slice() {
                b"skipme" => filter.skip_me = Some(yes_or_no(reader.word()?)?),
                b"idle" => filter.idle_seconds = Some(seconds(reader.word()?, "idle")?),
                b"maxage" => filter.age_seconds = Some(seconds(reader.word()?, "maxage")?),
                option => match option.strip_prefix(b"not-") {
                    Some(option) => filter.unwanted.read(option, true, &mut reader, known)?,
                    None => filter.wanted.read(option, false, &mut reader, known)?,
                },
            }
        }
        Ok(filter)
    }

    /// Whether all conditions hold.
    #[must_use]
    pub fn fits(&self, facts: &Facts<'_>) -> bool {
        self.wanted.verdicts(facts).all(|holds| holds)
            && !self.unwanted.verdicts(facts).any(|holds| holds)
            && self
                .idle_seconds
                .is_none_or(|least| facts.idle_seconds >= least)
            && self
                .age_seconds
                .is_none_or(|least| facts.age_seconds >= least)
    }
}

/// Ids, as many as there are numbers.
fn read_ids(ids: &mut Vec<u64>, reader: &mut Reader<'_>) -> Result<(), Error> {
    while let Some(id) = reader.peek().and_then(parse_i64) {
        let id = u64::try_from(id).ok().filter(|id| *id > 0);
        ids.push(id.ok_or(Error::text("ERR client-id should be greater than 0"))?);
        reader.word()?;
    }
    Ok(())
}

fn database(word: &[u8], not: &str, databases: usize) -> Result<usize, Error> {
    let number = parse_i64(word)
        .and_then(|number| i32::try_from(number).ok())
        .ok_or_else(|| Error::owned(format!("ERR {not}DB is not an integer or out of range")))?;
    usize::try_from(number)
        .ok()
        .filter(|db| *db < databases)
        .ok_or_else(|| {
            let last = databases.saturating_sub(1);
            Error::owned(format!("ERR {not}DB number should be between 0 and {last}"))
        })
}

fn letters<'a>(word: &'a [u8], known: &[u8], not: &str, what: &str) -> Result<&'a [u8], Error> {
    if word.iter().all(|letter| known.contains(letter)) {
        return Ok(word);
    }
    let place = match not {
        "" => "provided filter".to_owned(),
        not => format!("{not}{} filter", what.to_ascii_uppercase()),
    };
    let before = format!("ERR Unknown {what} found in the {place}: ");
    Err(Error::quoting(&before, word, ""))
}

fn seconds(word: &[u8], what: &str) -> Result<u64, Error> {
    let number = parse_i64(word)
        .ok_or_else(|| Error::owned(format!("ERR {what} is not an integer or out of range")))?;
    u64::try_from(number)
        .ok()
        .filter(|seconds| *seconds > 0)
        .ok_or_else(|| Error::owned(format!("ERR {what} should be greater than 0")))
}

fn yes_or_no(word: &[u8]) -> Result<bool, Error> {
    if args::is(word, "YES") {
        Ok(true)
    } else if args::is(word, "NO") {
        Ok(false)
    } else {
        Err(Error::Syntax)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOMEBODY: Facts<'static> = Facts {
        id: 7,
        kind: Kind::Normal,
        addr: "[::1]:4000",
        local_addr: "[::1]:6379",
        user: Some(b"default"),
        name: b"worker",
        library: ["lib", ""],
        db: 3,
        flags: "xT",
        capabilities: "r",
        idle_seconds: 5,
        age_seconds: 60,
    };

    fn read(words: &str) -> Result<bool, String> {
        let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        let known = Known {
            is_user: &|name| name == b"default",
            databases: 16,
        };
        let filter = Filter::read(&words, 0, known);
        let line = |error: Error| String::from_utf8_lossy(&error.line()).into_owned();
        filter.map(|filter| filter.fits(&SOMEBODY)).map_err(line)
    }

    #[test]
    fn each_option_looks_at_its_own() {
        for (words, fits) in [
            ("id 1 7 9", true),
            ("id 1", false),
            ("id 7 id 8", true),
            ("not-id 7", false),
            ("type NORMAL", true),
            ("type pubsub", false),
            ("addr [::1]:4000", true),
            ("laddr [::1]:4000", false),
            ("ip ::1", true),
            ("ip ::", false),
            ("not-ip ::1", false),
            ("user default", true),
            ("name worker", true),
            ("lib-name lib", true),
            ("db 3", true),
            ("not-db 3", false),
            ("flags Tx", true),
            ("flags N", false),
            ("not-flags xT", false),
            ("not-flags xP", true),
            ("capa r", true),
            ("idle 5", true),
            ("idle 6", false),
            ("maxage 61", false),
            ("name worker db 4", false),
        ] {
            assert_eq!(read(words), Ok(fits), "{words}");
        }
    }

    #[test]
    fn the_last_value_counts() {
        assert_eq!(read("name other name worker"), Ok(true));
        assert_eq!(read("not-ip ::1 not-ip 1.2.3.4"), Ok(true));
        assert_eq!(
            read("name worker not-name other not-name worker"),
            Ok(false)
        );
    }

    #[test]
    fn what_is_not_there_equals_nothing() {
        assert_eq!(read("lib-ver "), Ok(false));
        assert_eq!(read("not-lib-ver "), Ok(true));
        assert_eq!(read("id type normal"), Ok(false), "no id is nobody's");
    }

    #[test]
    fn the_first_fault_is_told() {
        for (words, error) in [
            ("name", "ERR syntax error"),
            ("nosuch x", "ERR syntax error"),
            ("not-idle 5", "ERR syntax error"),
            ("skipme maybe", "ERR syntax error"),
            ("id 0", "ERR client-id should be greater than 0"),
            ("type x", "ERR Unknown client type 'x'"),
            ("user x", "ERR No such user 'x'"),
            ("db 16", "ERR DB number should be between 0 and 15"),
            ("not-db x", "ERR NOT-DB is not an integer or out of range"),
            (
                "flags Z",
                "ERR Unknown flags found in the provided filter: Z",
            ),
            (
                "not-flags Z",
                "ERR Unknown flags found in the NOT-FLAGS filter: Z",
            ),
            (
                "not-capa x",
                "ERR Unknown capa found in the NOT-CAPA filter: x",
            ),
            ("idle 0", "ERR idle should be greater than 0"),
            ("maxage x", "ERR maxage is not an integer or out of range"),
        ] {
            assert_eq!(read(words), Err(error.to_owned()), "{words}");
        }
    }
}
