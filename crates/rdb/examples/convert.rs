//! Writes a dump anew, in another version: `cargo run -p rdb --example convert -- from.rdb to.rdb [version]`.

use std::error::Error;
use std::fs::File;

use rdb::{Facts, Input, LoadOptions, Loader, Options, Progress, SaveOptions, Version};
use store::{Keyspace, Limits};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [from, to, rest @ ..] = &words[..] else {
        return Err("usage: convert from.rdb to.rdb [version]".into());
    };
    let version = match rest.first() {
        None => None,
        Some(number) => {
            Some(Version::written(number.parse()?).ok_or("no version that can be written")?)
        }
    };
    let mut keyspace = Keyspace::new(16, false);
    let options = LoadOptions {
        read: Options {
            relaxed: true,
            ..Options::default()
        },
        ..LoadOptions::default()
    };
    let mut loader = Loader::open(Input::new(File::open(from)?), options, Limits::default())?;
    while loader.step(&mut keyspace, u64::MAX)? != Progress::Done {}
    let functions = loader.take_functions();
    let facts = Facts {
        redis_version: "7.2.4".to_owned(),
        ..loader.facts().facts.clone()
    };
    let options = SaveOptions {
        version,
        compress: true,
        checksum: true,
        facts: Some(&facts),
        functions: &functions,
        ..SaveOptions::default()
    };
    rdb::save(&keyspace, File::create(to)?, options, |_| Ok(()))?;
    Ok(())
}
