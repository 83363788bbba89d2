//! SORT.

use std::cmp::Ordering;
use std::ops::Range;

use hash_slot::key_slot;
use memchr::{memchr, memmem};
use resp::number::scan_decimal;
use store::{Db, Encoding, List, Owned, Str, Value, ValueMut};

use crate::args::{int, is};
use crate::string::reply_str;
use crate::{Args, Ctx, Done, Error, EventClass};

/// SORT key [BY pattern] [LIMIT offset count] [GET pattern …] [ASC|DESC] [ALPHA] [STORE destination]
pub(crate) fn sort(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    sort_value(ctx, args, true)
}

/// SORT_RO key [BY pattern] [LIMIT offset count] [GET pattern …] [ASC|DESC] [ALPHA]
pub(crate) fn sort_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    sort_value(ctx, args, false)
}

fn sort_value(ctx: &mut Ctx<'_>, args: Args<'_>, may_store: bool) -> Done {
    let key = args[1];
    let slot = ctx.settings.cluster.then(|| key_slot(key));
    let mut plan = Plan::parse(&args[2..], slot)?;
    if plan.store.is_some() && !may_store {
        return Err(Error::Syntax);
    }
    match ctx.keyspace.db(ctx.db).read(key) {
        None | Some(Value::List(_) | Value::Set(_) | Value::Zset(_)) => {}
        Some(_) => return Err(Error::WrongType),
    }
    let db = ctx.keyspace.db(ctx.db);
    // SORT leaves a sorted set in its large encoding.
    if let Some(ValueMut::Zset(zset)) = db.write(key) {
        zset.forget_compact();
    }
    let mut sorter = Sorter::default();
    // What is stored, and what a script sees, has a definite order.
    let definite = plan.store.is_some() || ctx.in_script;
    let window = match db.peek_alive(key) {
        Some(value) => sorter.load(value, &mut plan, definite),
        None => 0..0,
    };
    if !plan.unsorted {
        sorter.weigh(db, &plan)?;
        sorter.sort(&plan);
    }
    match plan.store {
        Some(to) => store(ctx, to, &sorter, window, &plan),
        None => reply(ctx, &sorter, window, &plan),
    }
    Ok(())
}

/// What the options ask for.
struct Plan<'a> {
    by: Option<Pattern<'a>>,
    /// BY a pattern without a star: in the order of the value itself.
    unsorted: bool,
    offset: i64,
    count: i64,
    gets: Vec<Pattern<'a>>,
    descending: bool,
    alpha: bool,
    store: Option<&'a [u8]>,
}

impl<'a> Plan<'a> {
    /// `slot` is that of the key, where keys of patterns have to be in the same.
    fn parse(mut words: Args<'a>, slot: Option<u16>) -> Result<Self, Error> {
        let mut plan = Self {
            by: None,
            unsorted: false,
            offset: 0,
            count: -1,
            gets: Vec::new(),
            descending: false,
            alpha: false,
            store: None,
        };
        loop {
            words = match words {
                [] => return Ok(plan),
                [word, rest @ ..] if is(word, "ASC") => {
                    plan.descending = false;
                    rest
                }
                [word, rest @ ..] if is(word, "DESC") => {
                    plan.descending = true;
                    rest
                }
                [word, rest @ ..] if is(word, "ALPHA") => {
                    plan.alpha = true;
                    rest
                }
                [word, offset, count, rest @ ..] if is(word, "LIMIT") => {
                    (plan.offset, plan.count) = (int(offset)?, int(count)?);
                    rest
                }
                [word, to, rest @ ..] if is(word, "STORE") => {
                    plan.store = Some(to);
                    rest
                }
                [word, pattern, rest @ ..] if is(word, "BY") => {
                    plan.sort_by(pattern, slot)?;
                    rest
                }
                [word, pattern, rest @ ..] if is(word, "GET") => {
                    let wanted = Pattern::parse(pattern);
                    if !matches!(wanted, Pattern::Element)
                        && slot.is_some_and(|slot| slot_of_pattern(pattern) != Some(slot))
                    {
                        return Err(Error::text(
                            "ERR GET option of SORT denied in Cluster mode when keys formed by the pattern may be in different slots.",
                        ));
                    }
                    plan.gets.push(wanted);
                    rest
                }
                _ => return Err(Error::Syntax),
            };
        }
    }

    fn sort_by(&mut self, word: &'a [u8], slot: Option<u16>) -> Done {
        if memchr(b'*', until_nul(word)).is_none() {
            self.unsorted = true;
        } else if slot.is_some_and(|slot| slot_of_pattern(word) != Some(slot)) {
            return Err(Error::text(
                "ERR BY option of SORT denied in Cluster mode when keys formed by the pattern may be in different slots.",
            ));
        }
        self.by = Some(Pattern::parse(word));
        Ok(())
    }

    /// The places among `length` elements that LIMIT leaves.
    fn window(&self, length: usize) -> Range<usize> {
        let start = usize::try_from(self.offset).unwrap_or(0).min(length);
        let count = usize::try_from(self.count).unwrap_or(length);
        start..start.saturating_add(count).min(length)
    }
}

/// The slot of all keys that a pattern can form: that of its hash tag, if that comes before anything that is not fixed; or of itself, if
/// it is one key.
fn slot_of_pattern(pattern: &[u8]) -> Option<u16> {
    let fixed = pattern.iter().position(|byte| b"*?[\\".contains(byte));
    let fixed = &pattern[..fixed.unwrap_or(pattern.len())];
    let open = memchr(b'{', fixed);
    let tag = open.and_then(|open| memchr(b'}', &fixed[open + 1..]).filter(|length| *length > 0));
    (tag.is_some() || fixed.len() == pattern.len()).then(|| key_slot(fixed))
}

/// Where a value is found for an element: `#`, `key_*` or `key_*->field`.
enum Pattern<'a> {
    /// The element itself.
    Element,
    /// A pattern without a star: nowhere.
    Nowhere,
    /// The string, or the hash's field, at the key with the element in the place of the star.
    Key {
        before: &'a [u8],
        after: &'a [u8],
        field: Option<&'a [u8]>,
    },
}

impl<'a> Pattern<'a> {
    fn parse(word: &'a [u8]) -> Self {
        let text = until_nul(word);
        if text == b"#" {
            return Self::Element;
        }
        let Some(star) = memchr(b'*', text) else {
            return Self::Nowhere;
        };
        let after = star + 1;
        let arrow = memmem::find(&text[after..], b"->").map(|at| after + at);
        let (end, field) = match arrow.filter(|arrow| arrow + 2 < text.len()) {
            Some(arrow) => (arrow, Some(&word[arrow + 2..])),
            None => (word.len(), None),
        };
        Self::Key {
            before: &word[..star],
            after: &word[after..end],
            field,
        }
    }

    /// The value for `element`.
    fn look_up<'b>(&self, db: &'b mut Db, element: &'b [u8]) -> Option<Str<'b>> {
        match *self {
            Self::Element => Some(Str::Bytes(element)),
            Self::Nowhere => None,
            Self::Key {
                before,
                after,
                field,
            } => {
                let key = [before, element, after].concat();
                match (db.read(&key)?, field) {
                    (Value::Str(string), None) => Some(string),
                    (Value::Hash(hash), Some(field)) => hash.get(field).map(Str::Bytes),
                    _ => None,
                }
            }
        }
    }
}

/// The elements, and what they are sorted by.
#[derive(Default)]
struct Sorter {
    /// The elements' bytes, one after the other.
    bytes: Vec<u8>,
    elements: Vec<Element>,
}

struct Element {
    place: Range<usize>,
    weight: Weight,
}

enum Weight {
    Score(f64),
    /// A string that BY found.
    Text(Box<[u8]>),
    /// BY found nothing, or the element is its own weight.
    None,
}

impl Sorter {
    fn push(&mut self, element: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(element);
        self.elements.push(Element {
            place: start..self.bytes.len(),
            weight: Weight::None,
        });
    }

    /// Takes the elements in the value's own order; answers which of them the reply shows. Without sorting only those are taken.
    fn load(&mut self, value: Value<'_>, plan: &mut Plan<'_>, definite: bool) -> Range<usize> {
        match value {
            Value::List(list) => {
                let window = plan.window(list.len());
                if plan.unsorted {
                    let from = if plan.descending {
                        list.len() - window.end
                    } else {
                        window.start
                    };
                    let shown = list.iter_from(from).take(window.len());
                    shown.for_each(|element| self.push(element));
                    if plan.descending {
                        self.elements.reverse();
                    }
                    return 0..window.len();
                }
                list.iter().for_each(|element| self.push(element));
                window
            }
            Value::Set(set) => {
                // The order of a table means nothing.
                let is_table = set.encoding() == Encoding::Hashtable;
                if plan.unsorted && (definite || is_table) {
                    (plan.unsorted, plan.alpha, plan.by) = (false, true, None);
                }
                let mut scratch = [0; 20];
                set.iter()
                    .for_each(|elem| self.push(elem.bytes(&mut scratch)));
                plan.window(set.len())
            }
            Value::Zset(zset) => {
                let length = zset.len();
                let window = plan.window(length);
                if !plan.unsorted {
                    zset.iter().for_each(|(member, _)| self.push(member));
                    return window;
                }
                let shown = window.len();
                if plan.descending {
                    let ranks = length - window.end..length - window.start;
                    zset.range(ranks)
                        .rev()
                        .for_each(|(member, _)| self.push(member));
                } else {
                    zset.range(window).for_each(|(member, _)| self.push(member));
                }
                0..shown
            }
            Value::Str(_) | Value::Hash(_) | Value::Stream(_) => 0..0,
        }
    }

    /// Finds each element's weight.
    fn weigh(&mut self, db: &mut Db, plan: &Plan<'_>) -> Done {
        let mut all_numbers = true;
        for element in &mut self.elements {
            let bytes = &self.bytes[element.place.clone()];
            let weight = match &plan.by {
                Some(pattern) => pattern.look_up(db, bytes),
                None if plan.alpha => continue,
                None => Some(Str::Bytes(bytes)),
            };
            element.weight = match weight {
                None if plan.alpha => Weight::None,
                None => Weight::Score(0.0),
                Some(weight) if plan.alpha => Weight::Text(weight.bytes(&mut [0; 20]).into()),
                Some(weight) => {
                    let score = score(weight.bytes(&mut [0; 20]));
                    all_numbers &= score.is_some();
                    Weight::Score(score.unwrap_or(0.0))
                }
            };
        }
        if all_numbers {
            Ok(())
        } else {
            Err(Error::text(
                "ERR One or more scores can't be converted into double",
            ))
        }
    }

    fn sort(&mut self, plan: &Plan<'_>) {
        let bytes = &self.bytes;
        // Where nothing has to come out the same elsewhere, 3.0 compares as C strings.
        let whole = plan.store.is_some();
        let compare = |a: &Element, b: &Element| {
            let own = || (&bytes[a.place.clone()], &bytes[b.place.clone()]);
            match (&a.weight, &b.weight) {
                (Weight::Score(x), Weight::Score(y)) => {
                    x.partial_cmp(y).unwrap_or(Ordering::Equal).then_with(|| {
                        let (a, b) = own();
                        a.cmp(b)
                    })
                }
                (Weight::Text(x), Weight::Text(y)) => compare_text(x, y, whole),
                (Weight::None, Weight::None) if plan.by.is_none() => {
                    let (a, b) = own();
                    compare_text(a, b, whole)
                }
                (x, y) => matches!(x, Weight::Text(_)).cmp(&matches!(y, Weight::Text(_))),
            }
        };
        if plan.descending {
            self.elements.sort_by(|a, b| compare(b, a));
        } else {
            self.elements.sort_by(compare);
        }
    }

    /// The bytes of the elements at `places`.
    fn shown(&self, places: Range<usize>) -> impl Iterator<Item = &[u8]> {
        self.elements[places]
            .iter()
            .map(|element| &self.bytes[element.place.clone()])
    }
}

/// A weight.
fn score(text: &[u8]) -> Option<f64> {
    let scanned = scan_decimal(text);
    let complete = text.get(scanned.used).is_none_or(|byte| *byte == 0);
    let valid = scanned.used > 0 && complete && !scanned.out_of_range && !scanned.value.is_nan();
    valid.then_some(scanned.value)
}

/// Compares two strings, `whole` or as far as C would see them.
fn compare_text(a: &[u8], b: &[u8], whole: bool) -> Ordering {
    if whole {
        a.cmp(b)
    } else {
        until_nul(a).cmp(until_nul(b))
    }
}

/// The part of `text` that C would see as a string.
fn until_nul(text: &[u8]) -> &[u8] {
    memchr(0, text).map_or(text, |end| &text[..end])
}

fn reply(ctx: &mut Ctx<'_>, sorter: &Sorter, window: Range<usize>, plan: &Plan<'_>) {
    let db = ctx.keyspace.db(ctx.db);
    ctx.reply.array(window.len() * plan.gets.len().max(1));
    for element in sorter.shown(window) {
        if plan.gets.is_empty() {
            ctx.reply.bulk(element);
        }
        for pattern in &plan.gets {
            match pattern.look_up(db, element) {
                Some(value) => reply_str(ctx.reply, value),
                None => ctx.reply.nil(),
            }
        }
    }
}

/// Puts the result as a list at `to`, or removes what was there if the result is empty.
fn store(ctx: &mut Ctx<'_>, to: &[u8], sorter: &Sorter, window: Range<usize>, plan: &Plan<'_>) {
    let limits = &ctx.settings.limits;
    let db = ctx.keyspace.db(ctx.db);
    let mut list = List::new();
    for element in sorter.shown(window) {
        if plan.gets.is_empty() {
            list.push_back(element, limits);
        }
        for pattern in &plan.gets {
            match pattern.look_up(db, element) {
                Some(value) => list.push_back(value.bytes(&mut [0; 20]), limits),
                None => list.push_back(b"", limits),
            }
        }
    }
    let length = list.len();
    if length > 0 {
        db.insert(to, Owned::List(list));
        ctx.effects.key_ready(ctx.db, to);
        ctx.changed(to, EventClass::List, "sortstore");
        ctx.effects.dirty += length as u64 - 1;
    } else if db.remove(to) {
        ctx.changed(to, EventClass::Generic, "del");
    }
    ctx.reply.count(length);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let parts = |word| match Pattern::parse(word) {
            Pattern::Element => (&b"#"[..], &b""[..], None),
            Pattern::Nowhere => (&b""[..], &b""[..], None),
            Pattern::Key {
                before,
                after,
                field,
            } => (before, after, field),
        };
        assert_eq!(parts(b"#"), (&b"#"[..], &b""[..], None));
        assert_eq!(parts(b"nosort"), (&b""[..], &b""[..], None));
        assert_eq!(parts(b"w_*"), (&b"w_"[..], &b""[..], None));
        assert_eq!(parts(b"w_*_x*"), (&b"w_"[..], &b"_x*"[..], None));
        assert_eq!(
            parts(b"h:*:x->f->g"),
            (&b"h:"[..], &b":x"[..], Some(&b"f->g"[..]))
        );
        assert_eq!(parts(b"h*->"), (&b"h"[..], &b"->"[..], None));
        assert_eq!(parts(b"a->b*"), (&b"a->b"[..], &b""[..], None));
    }
}
