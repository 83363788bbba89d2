//! LCS: the longest common subsequence of two strings.

use store::{Str, Value};

use crate::args::{Reader, int};
use crate::{Args, Ctx, Done, Error};

/// The table of lengths may have this many cells: a bound on memory and time.
const MOST_CELLS: usize = 256 * 1024 * 1024;

/// A match of several bytes: where it begins in each string, and how long it is.
struct Match {
    at: [usize; 2],
    length: usize,
}

/// LCS key1 key2 [LEN] [IDX] [MINMATCHLEN length] [WITHMATCHLEN]
pub(crate) fn lcs(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    // Both are looked up before either is complained of.
    let (first, second) = (read(ctx, args[1]), read(ctx, args[2]));
    let strings = [first?, second?];
    let mut reader = Reader::from(args, 3);
    let (mut only_length, mut indexes, mut least, mut with_lengths) = (false, false, 0, false);
    while !reader.is_empty() {
        if reader.takes("LEN") {
            only_length = true;
        } else if reader.takes("IDX") {
            indexes = true;
        } else if reader.takes("WITHMATCHLEN") {
            with_lengths = true;
        } else if reader.takes_with("MINMATCHLEN", 1) {
            least = usize::try_from(int(reader.word()?)?).unwrap_or(0);
        } else {
            return Err(Error::Syntax);
        }
    }
    if only_length && indexes {
        return Err(Error::text(
            "ERR If you want both the length and indexes, please just use IDX.",
        ));
    }
    let [a, b] = &strings;
    let table = Table::new(a, b)?;
    if only_length {
        ctx.reply.count(table.length());
        return Ok(());
    }
    let (text, matches) = table.walk(a, b);
    if !indexes {
        ctx.reply.bulk(text);
        return Ok(());
    }
    let long: Vec<&Match> = matches
        .iter()
        .filter(|found| found.length >= least)
        .collect();
    ctx.reply.map(2);
    ctx.reply.bulk("matches");
    ctx.reply.array(long.len());
    for found in long {
        ctx.reply.array(2 + usize::from(with_lengths));
        for at in found.at {
            ctx.reply.array(2);
            ctx.reply.count(at);
            ctx.reply.count(at + found.length - 1);
        }
        if with_lengths {
            ctx.reply.count(found.length);
        }
    }
    ctx.reply.bulk("len");
    ctx.reply.count(table.length());
    Ok(())
}

fn read(ctx: &mut Ctx<'_>, key: &[u8]) -> Result<Vec<u8>, Error> {
    match ctx.keyspace.db(ctx.db).read(key) {
        None => Ok(Vec::new()),
        Some(Value::Str(Str::Big(bytes))) => Ok(bytes.to_vec()),
        Some(Value::Str(string)) => Ok(string.bytes(&mut [0; 20]).to_vec()),
        Some(_) => Err(Error::text(
            "ERR The specified keys must contain string values",
        )),
    }
}

/// The lengths of the longest common subsequences of all pairs of prefixes.
struct Table {
    cells: Vec<u32>,
    width: usize,
    height: usize,
}

impl Table {
    fn new(a: &[u8], b: &[u8]) -> Result<Self, Error> {
        let (height, width) = (a.len() + 1, b.len() + 1);
        let cells = height
            .checked_mul(width)
            .filter(|cells| *cells <= MOST_CELLS);
        let cells = cells.ok_or(Error::text(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        ))?;
        let mut table = Self {
            cells: vec![0; cells],
            width,
            height,
        };
        for (row, left) in a.iter().enumerate() {
            for (column, right) in b.iter().enumerate() {
                let length = if left == right {
                    table.at(row, column) + 1
                } else {
                    table.at(row, column + 1).max(table.at(row + 1, column))
                };
                table.cells[(row + 1) * width + column + 1] = length;
            }
        }
        Ok(table)
    }

    fn at(&self, row: usize, column: usize) -> u32 {
        self.cells[row * self.width + column]
    }

    fn length(&self) -> usize {
        self.at(self.height - 1, self.width - 1) as usize
    }

    /// The subsequence, and the runs of it that are contiguous in both strings, from the end.
    fn walk(&self, a: &[u8], b: &[u8]) -> (Vec<u8>, Vec<Match>) {
        let (mut row, mut column) = (a.len(), b.len());
        let mut text = Vec::with_capacity(self.length());
        let mut matches: Vec<Match> = Vec::new();
        while row > 0 && column > 0 {
            if a[row - 1] == b[column - 1] {
                text.push(a[row - 1]);
                row -= 1;
                column -= 1;
                match matches.last_mut() {
                    Some(last) if last.at == [row + 1, column + 1] => {
                        last.at = [row, column];
                        last.length += 1;
                    }
                    _ => matches.push(Match {
                        at: [row, column],
                        length: 1,
                    }),
                }
            } else if self.at(row - 1, column) > self.at(row, column - 1) {
                row -= 1;
            } else {
                column -= 1;
            }
        }
        text.reverse();
        (text, matches)
    }
}
