//! The cache of scripts: loading, running by SHA1, flushing, and what it holds in memory.

#![expect(clippy::unwrap_used, reason = "these are tests")]

mod common;

use common::{TestHost, eval_in};
use resp::{Protocol, Reply};
use script::{Interpreter, ScriptError, ScriptFlags, Settings, Sha1};

const GET_MYKEY: &str = "return redis.call('get',KEYS[1])";
const GET_MYKEY_SHA1: &str = "fd758d1589d044dd850a6f05d52f2eefd27f033f";

fn interpreter() -> Interpreter {
    Interpreter::new(Settings::default()).unwrap()
}

fn eval(interpreter: &mut Interpreter, source: &str) -> String {
    let reply = eval_in(
        Protocol::Resp2,
        interpreter,
        &mut TestHost::default(),
        source.as_bytes(),
        &[],
        &[],
    );
    String::from_utf8(reply).unwrap()
}

#[test]
fn scripts_are_known_by_sha1_of_either_case() {
    let mut interpreter = interpreter();
    assert!(interpreter.find(GET_MYKEY_SHA1.as_bytes()).is_none());
    let (sha1, forgotten) = interpreter.prepare(GET_MYKEY.as_bytes()).unwrap();
    assert_eq!((sha1.to_string().as_str(), forgotten), (GET_MYKEY_SHA1, 0));
    let upper = GET_MYKEY_SHA1.to_uppercase();
    for hex in [GET_MYKEY_SHA1, &upper] {
        assert_eq!(interpreter.find(hex.as_bytes()), Some(sha1));
    }
    let mut reply = Reply::new();
    let mut host = TestHost::default();
    interpreter.run(sha1, &[b"mykey"], &[], &mut host, &mut reply);
    assert_eq!(reply.into_vec(), b"$-1\r\n");
    assert_eq!(interpreter.source(sha1), Some(GET_MYKEY.as_bytes()));
    for unknown in [
        "NotValidShaSUM",
        "ffd632c7d33e571e9f24556ebed26c3479a87130",
        "",
        "é",
    ] {
        assert_eq!(interpreter.find(unknown.as_bytes()), None);
    }
}

#[test]
fn loading_compiles_without_running() {
    let mut interpreter = interpreter();
    let source = b"redis.call('incr','x') return 'loaded'";
    let sha1 = interpreter.load(source).unwrap();
    let mut host = TestHost::default();
    let mut reply = Reply::new();
    interpreter.run(sha1, &[], &[], &mut host, &mut reply);
    assert_eq!(
        (host.calls, reply.into_vec()),
        (1, b"$6\r\nloaded\r\n".to_vec())
    );
    assert_eq!(interpreter.load(source), Ok(sha1));
    assert_eq!(interpreter.script_count(), 1);
    let error = interpreter.load(b"return (").unwrap_err();
    let text =
        "Error compiling script (new function): user_script:1: unexpected symbol near '<eof>'";
    assert_eq!(error, ScriptError::Refused(text.into()));
    let mut reply = Reply::new();
    error.write(&mut reply);
    assert_eq!(reply.into_vec(), format!("-ERR {text}\r\n").into_bytes());
    assert_eq!(interpreter.script_count(), 1);
}

#[test]
fn scripts_declare_flags_in_their_first_line() {
    let mut interpreter = interpreter();
    let (sha1, _) = interpreter
        .prepare(b"#!lua flags=no-writes\nerror('x')")
        .unwrap();
    assert_eq!(interpreter.flags(sha1), Some(ScriptFlags::NO_WRITES));
    let mut reply = Reply::new();
    interpreter.run(sha1, &[], &[], &mut TestHost::default(), &mut reply);
    assert_eq!(
        reply.into_vec(),
        b"-ERR user_script:2: x script: on @user_script:2.\r\n"
    );
    assert_eq!(
        eval(&mut interpreter, "#!js\nreturn 1"),
        "-ERR Could not find scripting engine 'js'\r\n"
    );
    let (plain, _) = interpreter.prepare(b"return 1").unwrap();
    assert_eq!(interpreter.flags(plain), Some(ScriptFlags::UNDECLARED));
}

#[test]
fn of_the_scripts_that_came_with_eval_the_last_ones_used_are_kept() {
    let mut interpreter = interpreter();
    let source = |number: usize| format!("return {number}");
    let mut forgotten = 0;
    let mut prepare = |interpreter: &mut Interpreter, number| {
        let (sha1, others) = interpreter.prepare(source(number).as_bytes()).unwrap();
        let mut reply = Reply::new();
        interpreter.run(sha1, &[], &[], &mut TestHost::default(), &mut reply);
        forgotten += others;
        sha1
    };
    let first = prepare(&mut interpreter, 1);
    let second = prepare(&mut interpreter, 2);
    let third = prepare(&mut interpreter, 3);
    // One that is loaded stays.
    let loaded = interpreter.load(source(2).as_bytes()).unwrap();
    assert_eq!(loaded, second);
    for number in 4..=501 {
        prepare(&mut interpreter, number);
    }
    prepare(&mut interpreter, 1);
    prepare(&mut interpreter, 502);
    assert_eq!(forgotten, 1);
    assert_eq!(interpreter.script_count(), 501);
    let known = |sha1: script::Sha1| interpreter.find(&sha1.to_hex()).is_some();
    assert_eq!(
        [known(first), known(second), known(third)],
        [true, true, false]
    );
}

#[test]
fn a_source_that_comes_again_is_known_until_it_is_forgotten() {
    let mut interpreter = interpreter();
    let source = "return 'again'";
    for _ in 0..3 {
        assert_eq!(eval(&mut interpreter, source), "$5\r\nagain\r\n");
        assert_eq!(eval(&mut interpreter, "return 'other'"), "$5\r\nother\r\n");
        assert_eq!(eval(&mut interpreter, source), "$5\r\nagain\r\n");
    }
    assert_eq!(interpreter.script_count(), 2);
    for number in 0..600 {
        interpreter
            .prepare(format!("return {number}").as_bytes())
            .unwrap();
    }
    let sha1 = Sha1::of(source.as_bytes());
    assert_eq!(interpreter.source(sha1), None);
    assert_eq!(eval(&mut interpreter, source), "$5\r\nagain\r\n");
    assert_eq!(interpreter.source(sha1), Some(source.as_bytes()));
}

#[test]
fn random_numbers_go_on_and_can_be_seeded() {
    let mut interpreter = interpreter();
    let draw = "return tostring(math.random())";
    assert_ne!(eval(&mut interpreter, draw), eval(&mut interpreter, draw));
    let seeded = "math.randomseed(10) return tostring(math.random())";
    assert_eq!(
        eval(&mut interpreter, seeded),
        eval(&mut interpreter, seeded)
    );
}

#[test]
fn running_scripts_leaves_no_memory_behind() {
    let mut interpreter = interpreter();
    let mut host = TestHost::default();
    let sources: Vec<String> = (0..20).map(|number| format!("return {number}")).collect();
    for source in &sources {
        interpreter.load(source.as_bytes()).unwrap();
    }
    let (sha1, _) = interpreter
        .prepare(b"return redis.call('incr',KEYS[1])")
        .unwrap();
    for _ in 0..10_000 {
        let mut reply = Reply::new();
        interpreter.run(sha1, &[b"x"], &[b"v"], &mut host, &mut reply);
    }
    let used = interpreter.memory_used();
    assert!(used < 256 * 1024, "{used} bytes with garbage");
    interpreter.tidy();
    // What Redis's own test allows for its state.
    let used = interpreter.memory_used();
    assert!(used < 100 * 1024, "{used} bytes");
}

#[test]
fn an_error_takes_the_place_of_what_was_written() {
    let mut interpreter = interpreter();
    let mut host = TestHost::default();
    let mut replies = Reply::new();
    for source in [
        "return {1, {}, 'x', nil, 2}",
        "error('x')",
        "local t = {1} t[1] = t return t",
    ] {
        let (sha1, _) = interpreter.prepare(source.as_bytes()).unwrap();
        let mut reply = Reply::new();
        interpreter.run(sha1, &[], &[], &mut host, &mut reply);
        replies.take_from(&mut reply);
    }
    assert_eq!(
        String::from_utf8_lossy(&replies.into_vec()),
        "*3\r\n:1\r\n*0\r\n$1\r\nx\r\n-ERR user_script:1: x script: on @user_script:1.\r\n\
         -ERR reached lua stack limit\r\n"
    );
}
