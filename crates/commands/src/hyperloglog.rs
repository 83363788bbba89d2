//! The PF commands. What a HyperLogLog is as bytes is in `hll`.

use store::{Owned, Str, StrMut, StrNew, Value, ValueMut};

use crate::args::is;
use crate::hll::{self, Corrupt, Form, Registers};
use crate::{Args, Ctx, Done, Error, EventClass, Rng};

/// Rounds and elements of PFSELFTEST: enough to see each path, in a fraction of a second.
const SELFTEST_ROUNDS: usize = 20;
const SELFTEST_ELEMENTS: u64 = 1_000_000;

const NOT_HLL: Error = Error::text("WRONGTYPE Key is not a valid HyperLogLog string value.");

impl From<Corrupt> for Error {
    fn from(_: Corrupt) -> Self {
        Self::text("INVALIDOBJ Corrupted HLL object detected")
    }
}

/// The form of a string, or the error of one that is no HyperLogLog.
fn form(string: Str<'_>) -> Result<Form, Error> {
    hll::form(string.bytes(&mut [0; 20])).ok_or(NOT_HLL)
}

/// Puts a HyperLogLog in the place of another.
fn replace(string: &mut StrMut<'_>, hll: &[u8]) {
    if hll.len() < string.see().len() {
        string.set(StrNew::Bytes(hll));
    }
    string.bytes_mut(hll.len()).copy_from_slice(hll);
}

fn owned(hll: Vec<u8>) -> Owned {
    Owned::Bytes {
        bytes: hll.into(),
        raw: true,
    }
}

/// PFADD key element …
pub(crate) fn pfadd(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (key, elements) = (args[1], &args[2..]);
    let sparse_max = ctx.settings.hll_sparse_max_bytes;
    let db = ctx.keyspace.db(ctx.db);
    let changes = match db.write(key) {
        Some(ValueMut::Str(mut string)) => add_all(&mut string, elements, sparse_max)?,
        Some(_) => return Err(Error::WrongType),
        None => {
            let (mut hll, mut changes) = (hll::empty(), 1);
            for element in elements {
                changes += u64::from(hll::add(&mut hll, element, sparse_max)?);
            }
            hll::forget_count(&mut hll);
            db.insert(key, owned(hll));
            changes
        }
    };
    if changes > 0 {
        ctx.changed(key, EventClass::String, "pfadd");
        ctx.effects.dirty += changes - 1;
    }
    ctx.reply.int(i64::from(changes > 0));
    Ok(())
}

/// Adds all elements, or none where the HyperLogLog is corrupt; how many of them changed a register.
fn add_all(string: &mut StrMut<'_>, elements: Args<'_>, sparse_max: usize) -> Result<u64, Error> {
    let mut changes = 0;
    match form(string.see())? {
        Form::Dense => {
            let hll = string.bytes_mut(0);
            for element in elements {
                changes += u64::from(hll::add_dense(hll, element));
            }
            if changes > 0 {
                hll::forget_count(hll);
            }
        }
        Form::Sparse => {
            let mut hll = string.bytes_mut(0).to_vec();
            for element in elements {
                changes += u64::from(hll::add(&mut hll, element, sparse_max)?);
            }
            if changes > 0 {
                hll::forget_count(&mut hll);
                replace(string, &hll);
            }
        }
    }
    Ok(changes)
}

/// PFCOUNT key …: of one key what is remembered, and if that is out of date it is computed and remembered, which is a change.
pub(crate) fn pfcount(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let count = match &args[1..] {
        [key] => count_one(ctx, key)?,
        keys => merged(ctx, keys)?.0.count(),
    };
    ctx.reply.int(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(())
}

fn count_one(ctx: &mut Ctx<'_>, key: &[u8]) -> Result<u64, Error> {
    // A read, as it counts in the statistics; what it computes is kept.
    if ctx.keyspace.db(ctx.db).read(key).is_none() {
        return Ok(0);
    }
    let Some(ValueMut::Str(mut string)) = ctx.keyspace.db(ctx.db).write(key) else {
        return Err(Error::WrongType);
    };
    form(string.see())?;
    let hll = string.bytes_mut(0);
    if let Some(count) = hll::cached_count(hll) {
        return Ok(count);
    }
    let count = hll::count(hll)?;
    hll::cache_count(hll, count);
    ctx.effects.dirty += 1;
    ctx.effects.touch(ctx.db, key);
    Ok(count)
}

/// The registers of all HyperLogLogs at `keys`, and dense if one of them is.
fn merged(ctx: &mut Ctx<'_>, keys: Args<'_>) -> Result<(Registers, Form), Error> {
    let (mut registers, mut all) = (Registers::new(), Form::Sparse);
    for key in keys {
        match ctx.keyspace.db(ctx.db).read(key) {
            None => {}
            Some(Value::Str(string)) => {
                if form(string)? == Form::Dense {
                    all = Form::Dense;
                }
                registers.merge(string.bytes(&mut [0; 20]))?;
            }
            Some(_) => return Err(Error::WrongType),
        }
    }
    Ok((registers, all))
}

/// PFMERGE destination source …: the destination counts as a source, and becomes dense if one of them is.
pub(crate) fn pfmerge(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let to = args[1];
    let (registers, all) = merged(ctx, &args[1..])?;
    let sparse_max = ctx.settings.hll_sparse_max_bytes;
    let merge = |mut hll: Vec<u8>| -> Result<Vec<u8>, Corrupt> {
        if all == Form::Dense {
            hll = registers.dense(&hll);
        } else {
            hll::raise_all(&mut hll, registers.values(), sparse_max)?;
        }
        hll::forget_count(&mut hll);
        Ok(hll)
    };
    let db = ctx.keyspace.db(ctx.db);
    if let Some(ValueMut::Str(mut string)) = db.write(to) {
        let hll = merge(string.bytes_mut(0).to_vec())?;
        replace(&mut string, &hll);
    } else {
        db.insert(to, owned(merge(hll::empty())?));
    }
    ctx.changed(to, EventClass::String, "pfadd");
    ctx.reply.ok();
    Ok(())
}

/// PFDEBUG GETREG|DECODE|ENCODING|TODENSE key
pub(crate) fn pfdebug(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    if is(args[1], "SIMD") {
        // There is one way to count, and the compiler chose its instructions.
        ctx.reply.status(match args[2] {
            word if is(word, "ON") => "enabled",
            word if is(word, "OFF") => "disabled",
            _ => return Err(Error::text("ERR Argument must be ON or OFF")),
        });
        return Ok(());
    }
    let mut string = match ctx.keyspace.db(ctx.db).write(args[2]) {
        None => return Err(Error::text("ERR The specified key does not exist")),
        Some(ValueMut::Str(string)) => string,
        Some(_) => return Err(Error::WrongType),
    };
    let form = form(string.see())?;
    let known = ["GETREG", "DECODE", "ENCODING", "TODENSE"];
    let Some(command) = known.into_iter().find(|known| is(args[1], known)) else {
        return Err(Error::quoting(
            "ERR Unknown PFDEBUG subcommand '",
            args[1],
            "'",
        ));
    };
    if args.len() != 3 {
        return Err(Error::quoting(
            "ERR Wrong number of arguments for the '",
            args[1],
            "' subcommand",
        ));
    }
    match command {
        "ENCODING" => ctx.reply.status(match form {
            Form::Dense => "dense",
            Form::Sparse => "sparse",
        }),
        "DECODE" if form == Form::Dense => {
            return Err(Error::text("ERR HLL encoding is not sparse"));
        }
        "DECODE" => ctx.reply.bulk(hll::describe(string.bytes_mut(0))),
        _ => {
            if form == Form::Sparse {
                let hll = hll::to_dense(string.bytes_mut(0))?;
                replace(&mut string, &hll);
                ctx.effects.dirty += 1;
            }
            if command == "TODENSE" {
                ctx.reply.int(i64::from(form == Form::Sparse));
            } else {
                ctx.reply.array(hll::REGISTERS);
                hll::registers(string.bytes_mut(0)).for_each(|value| ctx.reply.int(value.into()));
            }
        }
    }
    Ok(())
}

/// PFSELFTEST
pub(crate) fn pfselftest(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Done {
    test_registers(ctx.rng)?;
    // Without a bound of its own, each of the elements would walk over a sparse one that is longer than a dense one.
    let sparse_max = ctx.settings.hll_sparse_max_bytes.min(hll::DENSE_BYTES);
    test_estimates(ctx.rng.next_u64(), sparse_max)?;
    ctx.reply.ok();
    Ok(())
}

/// Registers give back what was put in, and do not touch their neighbours.
fn test_registers(rng: &mut Rng) -> Done {
    for _ in 0..SELFTEST_ROUNDS {
        let mut expected = Registers::new();
        let values = expected.values_mut();
        values.fill_with(|| u8::try_from(rng.below(64)).unwrap_or(0));
        let dense = expected.dense(&hll::empty());
        let got = hll::registers(&dense).zip(expected.values());
        for (index, (got, want)) in got.enumerate() {
            if got != *want {
                return Err(Error::owned(format!(
                    "ERR TESTFAILED Register {index} should be {want} but is {got}"
                )));
            }
        }
    }
    Ok(())
}

/// Dense and sparse agree, and are not far from the truth.
fn test_estimates(seed: u64, sparse_max: usize) -> Done {
    let mut sparse = hll::empty();
    let mut dense = hll::to_dense(&sparse)?;
    let mut checkpoint = 1;
    for n in 1..=SELFTEST_ELEMENTS {
        let element = (n ^ seed).to_le_bytes();
        hll::add_dense(&mut dense, &element);
        hll::add(&mut sparse, &element, sparse_max)?;
        if n != checkpoint {
            continue;
        }
        if n < sparse_max as u64 / 2 && hll::form(&sparse) != Some(Form::Sparse) {
            return Err(Error::text("ERR TESTFAILED sparse encoding not used"));
        }
        let count = hll::count(&dense)?;
        if count != hll::count(&sparse)? {
            return Err(Error::text("ERR TESTFAILED dense/sparse disagree"));
        }
        // Six times the standard error of 1.04 / sqrt(16384); ten elements may collide once.
        let most = if n == 10 {
            1
        } else {
            (n * 4875).div_ceil(100_000)
        };
        let error = count.abs_diff(n);
        if error > most {
            return Err(Error::owned(format!(
                "ERR TESTFAILED Too big error. card:{n} abserr:{error}"
            )));
        }
        checkpoint *= 10;
    }
    Ok(())
}
