//! One value, read element by element whatever its encoding. No keys and no file around it; nothing is stored.

use std::io::Read;

use store::Taken;

use crate::blob::{Cursor, Form};
use crate::decode::{Decoder, Str, parse_score};
use crate::error::Error;
use crate::format::{Encoding, Kind};
use crate::input::Input;
use crate::stream::StreamBody;

/// Reads one value after the other. Between [`ValueReader::begin`] and the end of a value, the call for its [`Kind`] gives what is
/// in it: a huge collection never stands in memory as a whole, unless its writer put it into one string.
pub struct ValueReader<R> {
    pub(crate) decoder: Decoder<R>,
    body: Body,
    kind: Kind,
    /// A field or member whose value or score is still to be read.
    field: Vec<u8>,
    /// The compact form that is being walked.
    pub(crate) blob: Vec<u8>,
    /// What is left of a stream.
    pub(crate) stream: StreamBody,
}

/// What is left of the value that was begun.
#[derive(Clone, Copy)]
enum Body {
    Nothing,
    /// One string.
    String,
    /// So many elements, members or pairs, one after the other.
    Plain {
        left: u64,
        binary_scores: bool,
        expiries: Expiries,
    },
    /// A place in [`ValueReader::blob`].
    Blob(Cursor),
    /// A place in a compact form of fields, values and expiries.
    BlobOfThree(Cursor),
    /// In [`ValueReader::stream`].
    Stream,
    /// So many parts of a list, each a compact form or, where `tagged`, perhaps a single element.
    Chain {
        left: u64,
        form: Form,
        tagged: bool,
        part: Option<Cursor>,
    },
}

/// Where the expiries of fields stand.
#[derive(Clone, Copy)]
enum Expiries {
    None,
    /// Behind each value, Unix milliseconds; -1 where there is none.
    Behind,
    /// In front of each field, milliseconds behind this instant and one more; 0 where there is none.
    InFront(u64),
}

/// A field of a hash, its value, and when it expires, Unix milliseconds.
pub type Field<'a> = (Str<'a>, Str<'a>, Option<u64>);

/// No field's expiry in a file of Redis lies behind this: it keeps 48 bits of it.
const LAST_EXPIRY_MS: u64 = (1 << 48) - 1;

impl<R: Read> ValueReader<R> {
    /// A reader of values from where `input` stands.
    pub fn new(input: Input<R>) -> Self {
        Self::with_decoder(Decoder::new(input))
    }

    pub(crate) fn with_decoder(decoder: Decoder<R>) -> Self {
        Self {
            decoder,
            body: Body::Nothing,
            kind: Kind::String,
            field: Vec::new(),
            blob: Vec::new(),
            stream: StreamBody::default(),
        }
    }

    /// Begins the value of `encoding` that comes next, which must be of a [`Kind`]. What is left of the value before is lost.
    ///
    /// # Errors
    /// Any of [`Error`]; [`Error::Corrupt`] also for an encoding without a kind.
    pub fn begin(&mut self, encoding: Encoding) -> Result<Kind, Error> {
        let Some(kind) = encoding.kind() else {
            return Err(self
                .decoder
                .corrupt("a module's value, which nobody else can read"));
        };
        self.kind = kind;
        self.body = Body::Nothing;
        self.body = match encoding {
            Encoding::String => Body::String,
            Encoding::ListQuicklist => self.chain(Form::Ziplist, false)?,
            Encoding::ListQuicklist2 => self.chain(Form::Listpack, true)?,
            Encoding::HashZipmap => self.blob(Form::Zipmap)?,
            Encoding::SetIntset => self.blob(Form::Intset)?,
            Encoding::ListZiplist | Encoding::ZsetZiplist | Encoding::HashZiplist => {
                self.blob(Form::Ziplist)?
            }
            Encoding::HashListpack | Encoding::ZsetListpack | Encoding::SetListpack => {
                self.blob(Form::Listpack)?
            }
            Encoding::HashExpiringListpack => {
                // The first expiry of all, which the fields tell too.
                self.decoder.input.array::<8>()?;
                Body::BlobOfThree(self.read_blob(Form::Listpack)?)
            }
            Encoding::Stream | Encoding::Stream2 | Encoding::Stream3 => {
                self.begin_stream(encoding)?;
                Body::Stream
            }
            _ => {
                let expiries = match encoding {
                    Encoding::HashFields => Expiries::Behind,
                    Encoding::HashExpiring => {
                        Expiries::InFront(u64::from_le_bytes(self.decoder.input.array()?))
                    }
                    _ => Expiries::None,
                };
                Body::Plain {
                    left: self.decoder.length()?,
                    binary_scores: encoding == Encoding::Zset2,
                    expiries,
                }
            }
        };
        Ok(kind)
    }

    /// How many elements, members or pairs are announced to come: a hint from the file, not to be allocated from unbounded.
    pub fn announced(&self) -> Option<u64> {
        match self.body {
            Body::Plain { left, .. } => Some(left),
            _ => None,
        }
    }

    /// The string value that was begun.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub fn string(&mut self) -> Result<Str<'_>, Error> {
        match std::mem::replace(&mut self.body, Body::Nothing) {
            Body::String => self.decoder.string(),
            _ => Err(self.decoder.corrupt("a string was asked of another type")),
        }
    }

    /// The next element of a list or member of a set; `None` at its end.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub fn next_element(&mut self) -> Result<Option<Str<'_>>, Error> {
        if let Body::Chain { .. } = self.body {
            return self.next_in_chain();
        }
        match &mut self.body {
            Body::Plain { left: 0, .. } | Body::Nothing => Ok(None),
            Body::Plain { left, .. } => {
                *left -= 1;
                self.decoder.string().map(Some)
            }
            Body::Blob(cursor) => cursor
                .next(&self.blob)
                .map_err(|what| self.decoder.corrupt(what)),
            _ => Err(self.decoder.corrupt("an element was asked of another type")),
        }
    }

    /// Gives `take` what is buffered of the elements to come where they stand one by one, and how many are left of them; of these it
    /// takes the plain strings of less than 64 bytes that it likes, from the front. Answers how many elements it took.
    pub(crate) fn next_row(&mut self, take: impl FnOnce(&[u8], usize) -> Taken) -> usize {
        let Body::Plain { left, .. } = &mut self.body else {
            return 0;
        };
        let most = usize::try_from(*left).unwrap_or(usize::MAX);
        let taken = take(self.decoder.input.buffered(), most);
        self.decoder.input.advance(taken.bytes);
        *left -= taken.elements as u64;
        taken.elements
    }

    /// The next field and value of a hash; `None` at its end.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub fn next_pair(&mut self) -> Result<Option<(Str<'_>, Str<'_>)>, Error> {
        let field = self.next_field()?;
        Ok(field.map(|(name, value, _)| (name, value)))
    }

    /// The next field of a hash with its value and expiry; `None` at its end.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub fn next_field(&mut self) -> Result<Option<Field<'_>>, Error> {
        match &mut self.body {
            Body::Plain { left: 0, .. } | Body::Nothing => Ok(None),
            &mut Body::Plain {
                ref mut left,
                expiries,
                ..
            } => {
                *left -= 1;
                self.plain_field(expiries).map(Some)
            }
            Body::Blob(cursor) => {
                let pair = two(cursor, &self.blob).map_err(|what| self.decoder.corrupt(what))?;
                Ok(pair.map(|(name, value)| (name, value, None)))
            }
            Body::BlobOfThree(cursor) => {
                three(cursor, &self.blob).map_err(|what| self.decoder.corrupt(what))
            }
            _ => Err(self.decoder.corrupt("a field was asked of another type")),
        }
    }

    fn plain_field(&mut self, expiries: Expiries) -> Result<Field<'_>, Error> {
        let in_front = match expiries {
            Expiries::InFront(from) => {
                let behind = self.decoder.length()?;
                // The instant itself is told as one.
                let at = behind.checked_sub(1).map(|behind| from.checked_add(behind));
                let at = at.map(|at| at.filter(|&at| at <= LAST_EXPIRY_MS));
                at.map(|at| at.ok_or_else(|| self.decoder.corrupt(EXPIRY)))
                    .transpose()?
            }
            _ => None,
        };
        self.decoder.string_into(&mut self.field)?;
        if !matches!(expiries, Expiries::Behind) {
            let value = self.decoder.string()?;
            return Ok((Str::Bytes(&self.field), value, in_front));
        }
        // The value's place is needed by the expiry behind it.
        self.decoder.string_into(&mut self.blob)?;
        let at = match i64::from_le_bytes(self.decoder.input.array()?) {
            -1 => None,
            at => Some(u64::try_from(at).map_err(|_| self.decoder.corrupt(EXPIRY))?),
        };
        Ok((Str::Bytes(&self.field), Str::Bytes(&self.blob), at))
    }

    /// The next member and score of a sorted set; `None` at its end. A score is never NaN.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub fn next_member(&mut self) -> Result<Option<(Str<'_>, f64)>, Error> {
        match &mut self.body {
            Body::Plain { left: 0, .. } | Body::Nothing => Ok(None),
            &mut Body::Plain {
                ref mut left,
                binary_scores,
                ..
            } => {
                *left -= 1;
                self.decoder.string_into(&mut self.field)?;
                let score = if binary_scores {
                    self.decoder.binary_score()
                } else {
                    self.decoder.text_score()
                }?;
                Ok(Some((Str::Bytes(&self.field), score)))
            }
            Body::Blob(cursor) => {
                let Some((member, score)) =
                    two(cursor, &self.blob).map_err(|what| self.decoder.corrupt(what))?
                else {
                    return Ok(None);
                };
                let score = match score {
                    #[expect(clippy::cast_precision_loss, reason = "as Redis reads it")]
                    Str::Int(score) => Some(score as f64),
                    Str::Bytes(text) => parse_score(text),
                };
                let score = score.ok_or_else(|| self.decoder.corrupt("a score is not a number"))?;
                Ok(Some((member, score)))
            }
            _ => Err(self.decoder.corrupt("a member was asked of another type")),
        }
    }

    /// Reads to the end of the value that was begun, checking it.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub fn finish(&mut self) -> Result<(), Error> {
        match self.kind {
            Kind::String => {
                if matches!(self.body, Body::String) {
                    self.string()?;
                }
            }
            Kind::List | Kind::Set => while self.next_element()?.is_some() {},
            Kind::Hash => while self.next_field()?.is_some() {},
            Kind::Stream => while self.next_stream_part()?.is_some() {},
            Kind::Zset => while self.next_member()?.is_some() {},
        }
        self.body = Body::Nothing;
        Ok(())
    }

    /// Whether the input ends here.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn is_at_end(&mut self) -> Result<bool, Error> {
        let input = &mut self.decoder.input;
        Ok(input.buffered().is_empty() && !input.read_more()?)
    }

    /// An error at the offset that was reached: for rules that only show when the value is stored, such as a field that comes twice.
    pub fn fault(&self, what: &'static str) -> Error {
        self.decoder.corrupt(what)
    }

    /// Offset of the next byte of the input.
    pub fn offset(&self) -> u64 {
        self.decoder.input.offset()
    }

    /// Gives the input back, standing behind what was read.
    pub fn into_input(self) -> Input<R> {
        self.decoder.input
    }

    fn chain(&mut self, form: Form, tagged: bool) -> Result<Body, Error> {
        Ok(Body::Chain {
            left: self.decoder.length()?,
            form,
            tagged,
            part: None,
        })
    }

    fn blob(&mut self, form: Form) -> Result<Body, Error> {
        self.read_blob(form).map(Body::Blob)
    }

    fn read_blob(&mut self, form: Form) -> Result<Cursor, Error> {
        self.decoder.string_into(&mut self.blob)?;
        Cursor::open(form, &self.blob).map_err(|what| self.decoder.corrupt(what))
    }

    fn next_in_chain(&mut self) -> Result<Option<Str<'_>>, Error> {
        const SINGLE: u64 = 1;
        const PACKED: u64 = 2;
        loop {
            let Body::Chain {
                left,
                form,
                tagged,
                part,
            } = &mut self.body
            else {
                return Ok(None);
            };
            let (form, tagged) = (*form, *tagged);
            if let Some(cursor) = part {
                if !cursor.is_at_end(&self.blob) {
                    return cursor
                        .next(&self.blob)
                        .map_err(|what| self.decoder.corrupt(what));
                }
                cursor
                    .next(&self.blob)
                    .map_err(|what| self.decoder.corrupt(what))?;
                *part = None;
            }
            if *left == 0 {
                return Ok(None);
            }
            *left -= 1;
            let container = if tagged {
                self.decoder.length()?
            } else {
                PACKED
            };
            match container {
                SINGLE => {
                    let empty = self.decoder.corrupt("a part of a list without a byte");
                    return match self.decoder.string()? {
                        Str::Bytes([]) => Err(empty),
                        element => Ok(Some(element)),
                    };
                }
                PACKED => {
                    let cursor = self.read_blob(form)?;
                    if let Body::Chain { part, .. } = &mut self.body {
                        *part = Some(cursor);
                    }
                }
                _ => return Err(self.decoder.corrupt("a part of a list of an unknown form")),
            }
        }
    }
}

const EXPIRY: &str = "a field expires at no time that there is";

/// A field, its value and its expiry.
fn three<'a>(cursor: &mut Cursor, blob: &'a [u8]) -> Result<Option<Field<'a>>, &'static str> {
    let Some((name, value)) = two(cursor, blob)? else {
        return Ok(None);
    };
    let at = match cursor.next(blob)? {
        Some(Str::Int(0)) => None,
        Some(Str::Int(at)) => Some(u64::try_from(at).map_err(|_| EXPIRY)?),
        _ => return Err(EXPIRY),
    };
    Ok(Some((name, value, at)))
}

/// Two elements that belong together.
fn two<'a>(
    cursor: &mut Cursor,
    blob: &'a [u8],
) -> Result<Option<(Str<'a>, Str<'a>)>, &'static str> {
    let Some(first) = cursor.next(blob)? else {
        return Ok(None);
    };
    let second = cursor
        .next(blob)?
        .ok_or("the last field or member has no value")?;
    Ok(Some((first, second)))
}
