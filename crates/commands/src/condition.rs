//! Writes and removals that depend on the string that a key holds: the conditions of SET and DELEX, DELIFEQ, and DIGEST.

use store::{Db, Str, Value, ValueMut};
use xxhash_rust::xxh3::xxh3_64;

use crate::args::Reader;
use crate::string::read_str;
use crate::{Args, Ctx, Done, Error, EventClass};

/// What has to be so before a string is written or removed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition<'a> {
    Always,
    Absent,
    Present,
    /// The key holds this string.
    Equal(&'a [u8]),
    /// The key is not there, or holds another string.
    Different(&'a [u8]),
    /// The key holds a string of this digest.
    DigestEqual(u64),
    /// The key is not there, or holds a string of another digest.
    DigestDifferent(u64),
}

impl<'a> Condition<'a> {
    /// Takes IFEQ, IFNE, IFDEQ or IFDNE with its value; `None` where the next word is none of them.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Option<Result<Self, Error>> {
        type Make<'a> = fn(&'a [u8]) -> Result<Condition<'a>, Error>;
        let forms: [(&str, Make<'a>); 4] = [
            ("IFEQ", |word| Ok(Condition::Equal(word))),
            ("IFNE", |word| Ok(Condition::Different(word))),
            ("IFDEQ", |word| digest_of(word).map(Condition::DigestEqual)),
            ("IFDNE", |word| {
                digest_of(word).map(Condition::DigestDifferent)
            }),
        ];
        let (_, make) = forms
            .into_iter()
            .find(|(word, _)| reader.takes_with(word, 1))?;
        Some(reader.word().and_then(make))
    }

    /// Whether the condition looks at the string, and not only at whether there is one.
    pub(crate) fn compares(self) -> bool {
        !matches!(self, Self::Always | Self::Absent | Self::Present)
    }

    /// Whether the key fulfils the condition.
    ///
    /// # Errors
    /// [`Error::WrongType`] where a string is asked for and the value is none.
    pub(crate) fn holds(self, db: &mut Db, key: &[u8]) -> Result<bool, Error> {
        let string = match self {
            Self::Always => return Ok(true),
            Self::Absent => return Ok(!db.exists(key)),
            Self::Present => return Ok(db.exists(key)),
            _ => match db.write(key) {
                None => {
                    return Ok(matches!(
                        self,
                        Self::Different(_) | Self::DigestDifferent(_)
                    ));
                }
                Some(ValueMut::Str(string)) => string,
                Some(_) => return Err(Error::WrongType),
            },
        };
        let mut digits = [0; 20];
        let bytes = string.see().bytes(&mut digits);
        Ok(match self {
            Self::Equal(wanted) => bytes == wanted,
            Self::Different(wanted) => bytes != wanted,
            Self::DigestEqual(wanted) => xxh3_64(bytes) == wanted,
            Self::DigestDifferent(wanted) => xxh3_64(bytes) != wanted,
            Self::Always | Self::Absent | Self::Present => true,
        })
    }
}

/// A digest as DIGEST gives it: 16 hexadecimal digits of either case.
fn digest_of(word: &[u8]) -> Result<u64, Error> {
    let digits = (word.len() == 16 && word.iter().all(u8::is_ascii_hexdigit))
        .then(|| std::str::from_utf8(word).ok())
        .flatten();
    digits
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or(Error::text("ERR must be exactly 16 hexadecimal characters"))
}

/// DIGEST key
pub(crate) fn digest(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let digest = read_str(ctx, args[1])?.map(|string: Str<'_>| xxh3_64(string.bytes(&mut [0; 20])));
    match digest {
        Some(digest) => ctx.reply.bulk(format!("{digest:016x}").as_bytes()),
        None => ctx.reply.nil(),
    }
    Ok(())
}

/// DELIFEQ key value
pub(crate) fn delifeq(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    remove_if(ctx, args[1], Condition::Equal(args[2]))
}

/// DELEX key [IFEQ value|IFNE value|IFDEQ digest|IFDNE digest]
pub(crate) fn delex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    if args.len() == 2 {
        return remove_if(ctx, args[1], Condition::Always);
    }
    if args.len() != 4 {
        return Err(Error::text(
            "ERR wrong number of arguments for 'delex' command",
        ));
    }
    let condition = Condition::read(&mut Reader::from(args, 2)).ok_or(Error::text(
        "ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE",
    ))?;
    match ctx.keyspace.db(ctx.db).read(args[1]) {
        None | Some(Value::Str(_)) => remove_if(ctx, args[1], condition?),
        Some(_) => Err(Error::text(
            "ERR Key should be of string type if conditions are specified",
        )),
    }
}

/// Removes a key that is there and fulfils the condition; the reply says whether it did.
fn remove_if(ctx: &mut Ctx<'_>, key: &[u8], condition: Condition<'_>) -> Done {
    let db = ctx.keyspace.db(ctx.db);
    let removed = db.exists(key) && condition.holds(db, key)?;
    if removed {
        ctx.keyspace.db(ctx.db).remove(key);
        ctx.changed(key, EventClass::Generic, "del");
        ctx.effects.propagate_instead(&[b"DEL", key]);
    }
    ctx.reply.int(removed.into());
    Ok(())
}
