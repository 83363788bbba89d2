//! The HyperLogLog as bytes: what Redis keeps in a string, dense and sparse. The commands are in `hyperloglog`.
//!
//! A header of 16 bytes: `HYLL`, the encoding, three unused bytes, and the cached count in eight bytes, little endian; their highest
//! bit says that the count is out of date. Then 16384 registers:
//! - dense: six bits each, the first in the low bits of the first byte;
//! - sparse: runs of equal registers. `00llllll` is a run of l+1 zeros, `01llllll llllllll` a longer one, `1vvvvvll` a run of l+1
//!   registers with the value v+1.
//!
//! Strings of this form can be written by anybody: no length in them is believed.

use smallvec::SmallVec;

pub(crate) const REGISTERS: usize = 1 << INDEX_BITS;
pub(crate) const DENSE_BYTES: usize = HEADER_BYTES + (REGISTERS * REGISTER_BITS).div_ceil(8);

const INDEX_BITS: u32 = 14;
const REGISTER_BITS: usize = 6;
const REGISTER_MAX: u8 = (1 << REGISTER_BITS) - 1;
const HEADER_BYTES: usize = 16;
const MAGIC: &[u8] = b"HYLL";
/// The byte with the mark of an outdated count.
const CACHE_MARK_AT: usize = 15;
const CACHE_MARK: u8 = 0x80;
const HASH_SEED: u64 = 0xadc8_3b19;

/// What a sparse run can hold at most.
const ZERO_MAX: usize = 64;
const VALUE_RUN_MAX: usize = 4;
const VALUE_MAX: u8 = 32;
/// How many runs are looked at for two that can become one.
const MERGE_RUNS: usize = 5;

/// How many registers have each value.
type Histogram = [usize; 1 << REGISTER_BITS];

/// The two forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Dense,
    Sparse,
}

/// The runs of a sparse HyperLogLog do not make 16384 registers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Corrupt;

/// The form of a string, if it looks like a HyperLogLog.
pub(crate) fn form(bytes: &[u8]) -> Option<Form> {
    if bytes.len() < HEADER_BYTES || !bytes.starts_with(MAGIC) {
        return None;
    }
    match bytes[MAGIC.len()] {
        0 if bytes.len() == DENSE_BYTES => Some(Form::Dense),
        1 => Some(Form::Sparse),
        _ => None,
    }
}

/// One that has seen nothing: sparse, with a single run.
pub(crate) fn empty() -> Vec<u8> {
    let mut hll = vec![0; HEADER_BYTES];
    hll[..MAGIC.len()].copy_from_slice(MAGIC);
    hll[MAGIC.len()] = 1;
    hll.extend(Run::zeros(REGISTERS));
    hll
}

/// The count that is remembered, unless it is out of date.
pub(crate) fn cached_count(hll: &[u8]) -> Option<u64> {
    let bytes = hll.get(8..)?.first_chunk()?;
    let valid = bytes[7] & CACHE_MARK == 0;
    valid.then(|| u64::from_le_bytes(*bytes))
}

/// Remembers a count.
pub(crate) fn cache_count(hll: &mut [u8], count: u64) {
    hll[8..HEADER_BYTES].copy_from_slice(&count.to_le_bytes());
}

/// Marks the remembered count as out of date.
pub(crate) fn forget_count(hll: &mut [u8]) {
    hll[CACHE_MARK_AT] |= CACHE_MARK;
}

/// Adds an element; whether a register changed. A sparse one becomes dense where it would be longer than `sparse_max` bytes, or
/// cannot hold the value. Where it is corrupt nothing is changed.
pub(crate) fn add(hll: &mut Vec<u8>, element: &[u8], sparse_max: usize) -> Result<bool, Corrupt> {
    let (index, value) = place(element);
    match form(hll) {
        Some(Form::Dense) => Ok(raise(hll, index, value)),
        Some(Form::Sparse) => raise_sparse(hll, index, value, sparse_max),
        None => Err(Corrupt),
    }
}

/// As [`add`], to a dense one in place.
pub(crate) fn add_dense(hll: &mut [u8], element: &[u8]) -> bool {
    let (index, value) = place(element);
    raise(hll, index, value)
}

/// The estimate.
pub(crate) fn count(hll: &[u8]) -> Result<u64, Corrupt> {
    let mut histogram = [0; 1 << REGISTER_BITS];
    match form(hll) {
        Some(Form::Dense) => registers(hll).for_each(|value| histogram[usize::from(value)] += 1),
        Some(Form::Sparse) => count_sparse(hll, &mut histogram)?,
        None => return Err(Corrupt),
    }
    Ok(estimate(&histogram))
}

/// Raises each register to one of these values. A sparse one becomes dense as in [`add`].
pub(crate) fn raise_all(
    hll: &mut Vec<u8>,
    values: &[u8],
    sparse_max: usize,
) -> Result<(), Corrupt> {
    for (index, &value) in values.iter().enumerate().filter(|(_, value)| **value > 0) {
        match form(hll) {
            Some(Form::Dense) => raise(hll, index, value),
            Some(Form::Sparse) => raise_sparse(hll, index, value, sparse_max)?,
            None => return Err(Corrupt),
        };
    }
    Ok(())
}

/// The same in dense form; header and remembered count are kept.
pub(crate) fn to_dense(hll: &[u8]) -> Result<Vec<u8>, Corrupt> {
    let mut registers = Registers::new();
    registers.merge(hll)?;
    Ok(registers.dense(hll))
}

/// The value of each register of a dense one.
pub(crate) fn registers(dense: &[u8]) -> impl Iterator<Item = u8> {
    let registers = &dense[HEADER_BYTES..];
    (0..REGISTERS).map(|index| register(registers, index))
}

/// The runs of a sparse one as PFDEBUG shows them.
pub(crate) fn describe(hll: &[u8]) -> String {
    let runs: Vec<String> = Runs::of(hll)
        .map(|run| match run.kind {
            Kind::Zero => format!("z:{}", run.len),
            Kind::LongZero => format!("Z:{}", run.len),
            Kind::Value(value) => format!("v:{value},{}", run.len),
        })
        .collect();
    runs.join(" ")
}

// ---- registers in a byte each ---------------------------------------------------------------------------------------------

/// The highest value of each register over several HyperLogLogs.
pub(crate) struct Registers(Vec<u8>);

impl Registers {
    pub(crate) fn new() -> Self {
        Self(vec![0; REGISTERS])
    }

    /// Takes another one in.
    pub(crate) fn merge(&mut self, hll: &[u8]) -> Result<(), Corrupt> {
        match form(hll) {
            Some(Form::Dense) => {
                for (own, other) in self.0.iter_mut().zip(registers(hll)) {
                    *own = other.max(*own);
                }
                Ok(())
            }
            Some(Form::Sparse) => {
                let mut at = 0;
                for run in Runs::of(hll) {
                    let end = at + run.len;
                    let covered = self.0.get_mut(at..end).ok_or(Corrupt)?;
                    if let Kind::Value(value) = run.kind {
                        covered.iter_mut().for_each(|own| *own = value.max(*own));
                    }
                    at = end;
                }
                if at == REGISTERS {
                    Ok(())
                } else {
                    Err(Corrupt)
                }
            }
            None => Err(Corrupt),
        }
    }

    /// The values.
    pub(crate) fn values(&self) -> &[u8] {
        &self.0
    }

    /// The values, each of which stays below 64.
    pub(crate) fn values_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// The estimate for all.
    pub(crate) fn count(&self) -> u64 {
        let mut histogram = [0; 1 << REGISTER_BITS];
        for value in &self.0 {
            histogram[usize::from(*value)] += 1;
        }
        estimate(&histogram)
    }

    /// A dense HyperLogLog of these registers, under the header of another.
    pub(crate) fn dense(&self, header: &[u8]) -> Vec<u8> {
        let mut hll = vec![0; DENSE_BYTES];
        hll[..HEADER_BYTES].copy_from_slice(&header[..HEADER_BYTES]);
        hll[MAGIC.len()] = 0;
        for (index, value) in self.0.iter().enumerate() {
            set_register(&mut hll[HEADER_BYTES..], index, *value);
        }
        hll
    }
}

// ---- dense ----------------------------------------------------------------------------------------------------------------

fn register(registers: &[u8], index: usize) -> u8 {
    let (byte, shift) = (index * REGISTER_BITS / 8, index * REGISTER_BITS % 8);
    let high = registers.get(byte + 1).copied().unwrap_or(0);
    let [low, _] = (u16::from_le_bytes([registers[byte], high]) >> shift).to_le_bytes();
    low & REGISTER_MAX
}

fn set_register(registers: &mut [u8], index: usize, value: u8) {
    let (byte, shift) = (index * REGISTER_BITS / 8, index * REGISTER_BITS % 8);
    let mask = (u16::from(REGISTER_MAX) << shift).to_le_bytes();
    let bits = (u16::from(value) << shift).to_le_bytes();
    for (byte, (mask, bits)) in registers[byte..].iter_mut().zip(mask.into_iter().zip(bits)) {
        *byte = *byte & !mask | bits;
    }
}

/// Sets a register of a dense one unless it is as high; whether it was lower.
fn raise(hll: &mut [u8], index: usize, value: u8) -> bool {
    let registers = &mut hll[HEADER_BYTES..];
    let lower = register(registers, index) < value;
    if lower {
        set_register(registers, index, value);
    }
    lower
}

// ---- sparse ---------------------------------------------------------------------------------------------------------------

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Zero,
    LongZero,
    Value(u8),
}

/// A run of equal registers.
#[derive(Clone, Copy)]
struct Run {
    kind: Kind,
    /// Registers.
    len: usize,
    /// Where it stands in the string, and how many bytes it takes.
    at: usize,
    bytes: usize,
}

impl Run {
    /// The run at `at`. A long run that is cut by the end of the string reads on with a zero byte.
    fn read(hll: &[u8], at: usize) -> Option<Self> {
        let byte = *hll.get(at)?;
        let low = usize::from(byte & 0x3f);
        let (kind, len, bytes) = match byte {
            0x80.. => (
                Kind::Value((byte >> 2 & 0x1f) + 1),
                usize::from(byte & 3) + 1,
                1,
            ),
            0x40.. => {
                let next = hll.get(at + 1).copied().unwrap_or(0);
                (Kind::LongZero, (low << 8 | usize::from(next)) + 1, 2)
            }
            _ => (Kind::Zero, low + 1, 1),
        };
        Some(Self {
            kind,
            len,
            at,
            bytes,
        })
    }

    /// The bytes of a run of zeros; none where it has no register.
    fn zeros(len: usize) -> SmallVec<[u8; 2]> {
        let Some(stored) = len.checked_sub(1) else {
            return SmallVec::new();
        };
        let [low, high, ..] = stored.to_le_bytes();
        if len > ZERO_MAX {
            SmallVec::from_slice(&[0x40 | high, low])
        } else {
            SmallVec::from_slice(&[low])
        }
    }

    /// The byte of a run of up to four registers.
    fn value(value: u8, len: usize) -> u8 {
        let [len, ..] = (len - 1).to_le_bytes();
        0x80 | (value - 1) << 2 | len
    }

    /// The bytes of a run like this one with `len` registers; none for none.
    fn resized(self, len: usize) -> SmallVec<[u8; 2]> {
        match self.kind {
            Kind::Value(value) if len > 0 => SmallVec::from_slice(&[Self::value(value, len)]),
            Kind::Value(_) => SmallVec::new(),
            Kind::Zero | Kind::LongZero => Self::zeros(len),
        }
    }
}

struct Runs<'a> {
    hll: &'a [u8],
    at: usize,
}

impl<'a> Runs<'a> {
    fn of(hll: &'a [u8]) -> Self {
        Self {
            hll,
            at: HEADER_BYTES,
        }
    }
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        let run = Run::read(self.hll, self.at)?;
        self.at += run.bytes;
        Some(run)
    }
}

fn count_sparse(hll: &[u8], histogram: &mut Histogram) -> Result<(), Corrupt> {
    let mut total = 0;
    for run in Runs::of(hll) {
        total += run.len;
        let value = match run.kind {
            Kind::Value(value) => usize::from(value),
            Kind::Zero | Kind::LongZero => 0,
        };
        histogram[value] += run.len;
    }
    if total == REGISTERS {
        Ok(())
    } else {
        Err(Corrupt)
    }
}

fn raise_sparse(
    hll: &mut Vec<u8>,
    index: usize,
    value: u8,
    sparse_max: usize,
) -> Result<bool, Corrupt> {
    if value > VALUE_MAX {
        return promote(hll, index, value);
    }
    let (mut first, mut previous) = (0, HEADER_BYTES);
    let mut covering = None;
    for run in Runs::of(hll) {
        if index < first + run.len {
            covering = Some(run);
            break;
        }
        previous = run.at;
        first += run.len;
    }
    let run = covering
        .filter(|run| run.at + run.bytes <= hll.len())
        .ok_or(Corrupt)?;
    if matches!(run.kind, Kind::Value(old) if old >= value) {
        return Ok(false);
    }
    let mut bytes: SmallVec<[u8; 5]> = SmallVec::new();
    bytes.extend(run.resized(index - first));
    bytes.push(Run::value(value, 1));
    bytes.extend(run.resized(first + run.len - 1 - index));
    if bytes.len() > run.bytes && hll.len() + bytes.len() - run.bytes > sparse_max {
        return promote(hll, index, value);
    }
    hll.splice(run.at..run.at + run.bytes, bytes);
    merge_runs(hll, previous);
    forget_count(hll);
    Ok(true)
}

/// Joins equal values that stand beside each other, in the few runs from `at`.
fn merge_runs(hll: &mut Vec<u8>, mut at: usize) {
    for _ in 0..MERGE_RUNS {
        let Some(run) = Run::read(hll, at) else {
            return;
        };
        if let Kind::Value(value) = run.kind
            && let Some(next) = Run::read(hll, at + 1)
            && next.kind == run.kind
            && run.len + next.len <= VALUE_RUN_MAX
        {
            hll[at + 1] = Run::value(value, run.len + next.len);
            hll.remove(at);
        } else {
            at += run.bytes;
        }
    }
}

fn promote(hll: &mut Vec<u8>, index: usize, value: u8) -> Result<bool, Corrupt> {
    *hll = to_dense(hll)?;
    Ok(raise(hll, index, value))
}

// ---- the algorithm -----------------------------------------------------------------------------------------------------------

/// The register of an element, and one more than the zeros that follow in its hash.
fn place(element: &[u8]) -> (usize, u8) {
    let hash = murmur64a(element);
    let index = usize::try_from(hash % REGISTERS as u64).unwrap_or(0);
    let zeros = (hash >> INDEX_BITS | 1 << (63 - INDEX_BITS)).trailing_zeros();
    (index, u8::try_from(zeros + 1).unwrap_or(u8::MAX))
}

/// MurmurHash2 for 64 bits, of words that have their low byte first.
fn murmur64a(bytes: &[u8]) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    const R: u32 = 47;
    let mut hash = HASH_SEED ^ (bytes.len() as u64).wrapping_mul(M);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word).wrapping_mul(M);
        let word = (word ^ word >> R).wrapping_mul(M);
        hash = (hash ^ word).wrapping_mul(M);
    }
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(M);
    }
    hash = (hash ^ hash >> R).wrapping_mul(M);
    hash ^ hash >> R
}

/// How many elements: Ertl's improved estimator ("New cardinality estimation algorithms for HyperLogLog sketches", 2017), which needs no
/// table of biases and no other method for few elements.
#[expect(clippy::cast_precision_loss, reason = "there are few registers")]
fn estimate(histogram: &Histogram) -> u64 {
    /// 1 / (2 ln 2).
    const ALPHA: f64 = 0.5 / std::f64::consts::LN_2;
    /// The highest value but for hashes whose bits have all been used up.
    const HIGHEST: usize = 64 - INDEX_BITS as usize;
    let m = REGISTERS as f64;
    let mut z = m * tau((m - histogram[HIGHEST + 1] as f64) / m);
    for count in histogram[1..=HIGHEST].iter().rev() {
        z = (z + *count as f64) / 2.0;
    }
    z += m * sigma(histogram[0] as f64 / m);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "never negative"
    )]
    let count = (ALPHA * m * m / z).round() as u64;
    count
}

/// x + the sum over k of x^(2^k) 2^(k-1); infinite at 1.
#[expect(clippy::float_cmp, reason = "until nothing changes")]
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut power, mut sum) = (1.0, x);
    loop {
        x *= x;
        let before = sum;
        sum += x * power;
        power += power;
        if sum == before {
            return sum;
        }
    }
}

/// A third of 1 - x - the sum over k of (1 - x^(2^-k))^2 2^-k.
#[expect(clippy::float_cmp, reason = "until nothing changes")]
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut power, mut sum) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = sum;
        power /= 2.0;
        sum -= (1.0 - x) * (1.0 - x) * power;
        if sum == before {
            return sum / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash and everything after it give what Redis 3.0.7 keeps for `PFADD k a b c`.
    #[test]
    fn bytes_are_those_of_redis() {
        let mut hll = empty();
        for element in [b"a", b"b", b"c"] {
            assert_eq!(add(&mut hll, element, 3000), Ok(true));
        }
        assert_eq!(
            hll,
            b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x60\xf3\x80\x50\xb1\x84\x4b\xfb\x80\x42\x5a"
                .as_slice()
        );
    }

    #[test]
    fn dense_and_sparse_agree_until_and_after_the_promotion() {
        let (mut sparse, mut dense) = (empty(), to_dense(&empty()).unwrap());
        let mut forms = Vec::new();
        for n in 0..5000_u32 {
            let element = n.to_le_bytes();
            let added = add(&mut sparse, &element, 3000).unwrap();
            assert_eq!(added, add_dense(&mut dense, &element));
            forms.push(form(&sparse).unwrap());
            if n % 100 == 0 {
                assert_eq!(count(&sparse), count(&dense));
                assert_eq!(to_dense(&sparse).unwrap()[16..], dense[16..]);
            }
        }
        assert_eq!(forms.first(), Some(&Form::Sparse));
        assert_eq!(forms.last(), Some(&Form::Dense));
        assert!(forms.is_sorted_by_key(|form| *form == Form::Dense));
    }

    #[test]
    fn sparse_by_hand_cannot_reach_outside() {
        let header = &empty()[..HEADER_BYTES];
        let with = |runs: &[u8]| [header, runs].concat();
        let long = [0x7f, 0xff].repeat(3);
        for runs in [
            &b""[..],
            b"\x00",
            b"\x7f",
            b"\x7f\xff\x83",
            &long,
            &[0xff; 5000],
        ] {
            let mut hll = with(runs);
            assert_eq!(to_dense(&hll), Err(Corrupt), "{runs:?}");
            assert_eq!(count(&hll), Err(Corrupt), "{runs:?}");
            assert_eq!(Registers::new().merge(&hll), Err(Corrupt), "{runs:?}");
            for n in 0..200_u32 {
                let _ = add(&mut hll, &n.to_le_bytes(), 3000);
            }
        }
        assert_eq!(
            describe(&with(b"\x7f\xff\x83\x00\x40")),
            "Z:16384 v:1,4 z:1 Z:1"
        );
    }

    #[test]
    fn form_needs_header_and_exact_dense_length() {
        assert_eq!(form(&empty()), Some(Form::Sparse));
        assert_eq!(form(&empty()[..15]), None);
        let dense = to_dense(&empty()).unwrap();
        assert_eq!(form(&dense), Some(Form::Dense));
        assert_eq!(form(&dense[..dense.len() - 1]), None);
        assert_eq!(form(b"HYLX\x01\0\0\0\0\0\0\0\0\0\0\0\0"), None);
        assert_eq!(form(b"HYLL\x02\0\0\0\0\0\0\0\0\0\0\0\0"), None);
    }
}
