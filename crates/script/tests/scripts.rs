//! The cache of scripts: loading, running by SHA1, flushing, and what it holds in memory.

#![expect(clippy::unwrap_used, reason = "these are tests")]

mod common;

use common::TestHost;
use script::texts::NO_SCRIPT;
use script::{Interpreter, Limits, ScriptError, Sha1};

const GET_MYKEY: &str = "return redis.call('get',KEYS[1])";
const GET_MYKEY_SHA1: &str = "fd758d1589d044dd850a6f05d52f2eefd27f033f";

fn eval_sha(
    interpreter: &mut Interpreter,
    host: &mut TestHost,
    sha1: &str,
    keys: &[&[u8]],
) -> (String, Option<Sha1>) {
    let mut reply = Vec::new();
    let found = interpreter.eval_sha(sha1.as_bytes(), keys, &[], host, &mut reply);
    (String::from_utf8(reply).unwrap(), found)
}

#[test]
fn scripts_are_known_by_sha1_of_either_case() {
    let mut interpreter = Interpreter::new(Limits::default()).unwrap();
    let mut host = TestHost::default();
    let mut reply = Vec::new();
    assert!(!interpreter.exists(GET_MYKEY_SHA1.as_bytes()));
    let sha1 = interpreter.eval(
        GET_MYKEY.as_bytes(),
        &[b"mykey"],
        &[],
        &mut host,
        &mut reply,
    );
    assert_eq!(sha1.to_string(), GET_MYKEY_SHA1);
    assert_eq!(reply, b"$-1\r\n");
    assert!(interpreter.exists(GET_MYKEY_SHA1.as_bytes()));
    let upper = GET_MYKEY_SHA1.to_uppercase();
    assert!(interpreter.exists(upper.as_bytes()));
    assert_eq!(
        eval_sha(&mut interpreter, &mut host, &upper, &[b"mykey"]),
        ("$-1\r\n".to_owned(), Some(sha1))
    );
    assert_eq!(
        interpreter.source(GET_MYKEY_SHA1.as_bytes()).as_deref(),
        Some(GET_MYKEY.as_bytes())
    );
    for unknown in [
        "NotValidShaSUM",
        "ffd632c7d33e571e9f24556ebed26c3479a87130",
        "",
        "é",
    ] {
        assert_eq!(
            eval_sha(&mut interpreter, &mut host, unknown, &[]),
            (format!("-{NO_SCRIPT}\r\n"), None)
        );
        assert!(interpreter.source(unknown.as_bytes()).is_none());
    }
}

#[test]
fn loading_compiles_without_running() {
    let mut interpreter = Interpreter::new(Limits::default()).unwrap();
    let mut host = TestHost::default();
    let sha1 = interpreter
        .load(b"redis.call('incr','x') return 'loaded'")
        .unwrap();
    assert_eq!(host.calls, 0);
    let hex = sha1.to_string();
    assert_eq!(
        eval_sha(&mut interpreter, &mut host, &hex, &[]).0,
        "$6\r\nloaded\r\n"
    );
    assert_eq!(host.calls, 1);
    assert_eq!(
        interpreter.load(b"redis.call('incr','x') return 'loaded'"),
        Ok(sha1)
    );
    assert_eq!(interpreter.script_count(), 1);
    let error = interpreter.load(b"return (").unwrap_err();
    assert_eq!(
        error,
        ScriptError::Compile("user_script:2: unexpected symbol near 'end'".to_owned())
    );
    let mut reply = Vec::new();
    error.append_reply(&mut reply);
    assert_eq!(
        reply,
        b"-ERR Error compiling script (new function): user_script:2: unexpected symbol near 'end' \r\n"
    );
    assert_eq!(interpreter.script_count(), 1);
}

#[test]
fn flushing_forgets_scripts_and_settings() {
    let mut interpreter = Interpreter::new(Limits::default()).unwrap();
    let mut host = TestHost::default();
    let precision = |interpreter: &mut Interpreter, host: &mut TestHost, source: &[u8]| {
        let mut reply = Vec::new();
        interpreter.eval(source, &[], &[], host, &mut reply);
        String::from_utf8(reply).unwrap()
    };
    interpreter.load(GET_MYKEY.as_bytes()).unwrap();
    assert_eq!(
        precision(
            &mut interpreter,
            &mut host,
            b"return cjson.encode_number_precision(3)"
        ),
        ":3\r\n"
    );
    assert_eq!(
        precision(
            &mut interpreter,
            &mut host,
            b"return cjson.encode_number_precision()"
        ),
        ":3\r\n"
    );
    interpreter.flush().unwrap();
    assert!(!interpreter.exists(GET_MYKEY_SHA1.as_bytes()));
    assert_eq!(interpreter.script_count(), 0);
    assert_eq!(
        precision(
            &mut interpreter,
            &mut host,
            b"return cjson.encode_number_precision()"
        ),
        ":14\r\n"
    );
}

#[test]
fn scripts_find_each_other_as_functions() {
    let mut interpreter = Interpreter::new(Limits::default()).unwrap();
    let mut host = TestHost::default();
    let sha1 = interpreter.load(b"return 42").unwrap();
    let mut reply = Vec::new();
    let source = format!("return f_{sha1}() + 1");
    interpreter.eval(source.as_bytes(), &[], &[], &mut host, &mut reply);
    assert_eq!(reply, b":43\r\n");
}

#[test]
fn running_scripts_leaves_no_memory_behind() {
    let mut interpreter = Interpreter::new(Limits::default()).unwrap();
    let mut host = TestHost::default();
    let sources: Vec<String> = (0..20).map(|number| format!("return {number}")).collect();
    for source in &sources {
        interpreter.load(source.as_bytes()).unwrap();
    }
    for _ in 0..10_000 {
        let mut reply = Vec::new();
        interpreter.eval(
            b"return redis.call('incr',KEYS[1])",
            &[b"x"],
            &[b"v"],
            &mut host,
            &mut reply,
        );
    }
    // What Redis's own test allows for its state.
    let used = interpreter.memory_used();
    assert!(used < 100 * 1024, "{used} bytes");
}

#[test]
fn replies_are_appended() {
    let mut interpreter = Interpreter::new(Limits::default()).unwrap();
    let mut host = TestHost::default();
    let mut reply = b"+before\r\n".to_vec();
    interpreter.eval(
        b"return {1, {}, 'x', nil, 2}",
        &[],
        &[],
        &mut host,
        &mut reply,
    );
    interpreter.eval(b"error('x')", &[], &[], &mut host, &mut reply);
    interpreter.eval(
        b"local t = {1} t[1] = t return t",
        &[],
        &[],
        &mut host,
        &mut reply,
    );
    assert_eq!(
        String::from_utf8_lossy(&reply),
        "+before\r\n*3\r\n:1\r\n*0\r\n$1\r\nx\r\n-ERR Error running script (call to \
         f_9851144f39f03a0d597a980c5aa79c80cb696891): @user_script:1: user_script:1: x \r\n-ERR reached lua stack \
         limit\r\n"
    );
}
