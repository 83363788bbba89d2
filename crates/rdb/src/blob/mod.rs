//! The compact forms in which Redis keeps small collections and writes them as one string each. Reading checks every
//! byte that another reader would rely on; a collection that passes was written whole. Written are ziplists for old versions,
//! listpacks for new ones, and intsets. No file format around them.

pub(crate) mod intset;
pub(crate) mod listpack;
mod pack;
pub(crate) mod ziplist;
mod zipmap;

use pack::END;
pub(crate) use pack::Fault;
pub use pack::Pack;

use crate::decode::Str;

/// Which compact form a string is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Ziplist,
    Listpack,
    Zipmap,
    Intset,
}

/// A place in a compact form, between two elements. It holds no bytes: each call is given the same ones.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cursor {
    Ziplist(ziplist::Cursor),
    Listpack(listpack::Cursor),
    Zipmap(zipmap::Cursor),
    Intset(intset::Cursor),
}

impl Cursor {
    /// The place before the first element; the header is checked.
    pub(crate) fn open(form: Form, blob: &[u8]) -> Result<Self, Fault> {
        Ok(match form {
            Form::Ziplist => Self::Ziplist(ziplist::Cursor::open(blob)?),
            Form::Listpack => Self::Listpack(listpack::Cursor::open(blob)?),
            Form::Zipmap => Self::Zipmap(zipmap::Cursor::open(blob)?),
            Form::Intset => Self::Intset(intset::Cursor::open(blob)?),
        })
    }

    /// The next element, and the place behind it. At the end, what the header promised is checked.
    pub(crate) fn next<'a>(&mut self, blob: &'a [u8]) -> Result<Option<Str<'a>>, Fault> {
        match self {
            Self::Ziplist(cursor) => cursor.next(blob),
            Self::Listpack(cursor) => cursor.next(blob),
            Self::Zipmap(cursor) => cursor.next(blob),
            Self::Intset(cursor) => Ok(cursor.next(blob)),
        }
    }

    /// Whether the end mark comes next: then [`Cursor::next`] gives nothing, or a fault.
    pub(crate) fn is_at_end(&self, blob: &[u8]) -> bool {
        let at = match self {
            Self::Ziplist(cursor) => cursor.at(),
            Self::Listpack(cursor) => cursor.at(),
            Self::Zipmap(cursor) => cursor.at(),
            Self::Intset(cursor) => return cursor.at() >= blob.len(),
        };
        blob.get(at).is_none_or(|&byte| byte == END)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All elements, or the rule that is broken.
    pub(super) fn all(form: Form, blob: &[u8]) -> Result<Vec<Str<'_>>, Fault> {
        let mut cursor = Cursor::open(form, blob)?;
        let mut elements = Vec::new();
        while let Some(element) = cursor.next(blob)? {
            elements.push(element);
        }
        Ok(elements)
    }

    /// Whatever one byte is changed to, the answer is a list of elements or a fault.
    pub(super) fn survives_every_byte_change(form: Form, blob: &[u8]) {
        let mut changed = blob.to_vec();
        for at in 0..blob.len() {
            for byte in 0..=255 {
                changed[at] = byte;
                if let Ok(elements) = all(form, &changed) {
                    assert!(elements.len() <= blob.len());
                }
            }
            changed[at] = blob[at];
        }
        for len in 0..blob.len() {
            assert!(all(form, &blob[..len]).is_err(), "cut to {len}");
        }
    }
}
