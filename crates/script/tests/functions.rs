//! Libraries: loading, replacing, restoring, calling, and what a library finds while it is loaded.

#![expect(clippy::unwrap_used, reason = "these are tests")]

mod common;

use common::TestHost;
use resp::Reply;
use script::{Functions, Interpreter, RestorePolicy, ScriptFlags, Settings};

fn functions() -> Functions {
    Functions::new(Settings::default()).unwrap()
}

fn load(functions: &mut Functions, code: &str, replace: bool) -> Result<String, String> {
    functions
        .load(code.as_bytes(), replace, &mut TestHost::default())
        .map(|name| String::from_utf8(name).unwrap())
        .map_err(|error| error.to_string())
}

fn call(functions: &mut Functions, name: &str) -> String {
    let mut reply = Reply::new();
    let Some(function) = functions.find(name.as_bytes()).cloned() else {
        return "none".to_owned();
    };
    functions.call(
        &function,
        &[b"k"],
        &[b"a", b"b"],
        &mut TestHost::default(),
        &mut reply,
    );
    String::from_utf8(reply.into_vec()).unwrap()
}

fn library(name: &str, function: &str, body: &str) -> String {
    format!(
        "#!lua name={name}\nserver.register_function('{function}', function(KEYS, ARGV) {body} end)"
    )
}

#[test]
fn functions_are_called_by_their_name_in_either_case() {
    let mut functions = functions();
    let code = library(
        "lib",
        "echo",
        "return {KEYS[1], ARGV[2], redis.call('ping')}",
    );
    assert_eq!(load(&mut functions, &code, false), Ok("lib".to_owned()));
    for name in ["echo", "ECHO"] {
        assert_eq!(
            call(&mut functions, name),
            "*3\r\n$1\r\nk\r\n$1\r\nb\r\n+PONG\r\n"
        );
    }
    assert_eq!(call(&mut functions, "nosuch"), "none");
    assert!(functions.delete(b"lib"));
    assert!(!functions.delete(b"lib"));
    assert_eq!(call(&mut functions, "echo"), "none");
    assert_eq!(functions.function_count(), 0);
}

#[test]
fn both_forms_of_registration() {
    let mut functions = functions();
    let code = "#!lua name=lib
        local calls = 0
        local function count() calls = calls + 1 return calls end
        redis.register_function('f1', count)
        redis.register_function{function_name='f2', callback=count, description='counts', flags={'no-writes', 'allow-stale'}}";
    load(&mut functions, code, false).unwrap();
    let (name, library) = functions.libraries().next().unwrap();
    assert_eq!((name, library.code()), (&b"lib"[..], code.as_bytes()));
    let [first, second] = library.functions() else {
        panic!("two functions");
    };
    assert_eq!((first.name(), first.description()), (&b"f1"[..], None));
    assert_eq!(first.flags(), ScriptFlags::default());
    assert_eq!(second.description(), Some(&b"counts"[..]));
    assert_eq!(
        second.flags().names().collect::<Vec<_>>(),
        ["no-writes", "allow-stale"]
    );
    // Functions of a library share its locals.
    assert_eq!(call(&mut functions, "f1"), ":1\r\n");
    assert_eq!(call(&mut functions, "f2"), ":2\r\n");
}

#[test]
fn what_is_wrong_with_a_library_is_told_and_nothing_is_changed() {
    let mut functions = functions();
    load(&mut functions, &library("lib", "f", "return 1"), false).unwrap();
    let body = |text: &str| format!("#!lua name=lib\n{text}");
    let registering = "Error registering functions: ERR ";
    let nonexistent = "Script attempted to access nonexistent global variable";
    let cases = [
        (body("bad script"), "Error compiling function: user_function:2: '=' expected near 'script'".to_owned()),
        (body("return 1"), "No functions registered".to_owned()),
        (body("a = 1"), format!("{registering}user_function:2: Attempt to modify a readonly table")),
        (body("return math.random()"), format!("{registering}user_function:2: {nonexistent} 'math'")),
        (body("return redis.call('ping')"), format!("{registering}user_function:2: {nonexistent} 'call'")),
        (body("return redis.redis"), format!("{registering}user_function:2: {nonexistent} 'redis'")),
        (body("return getmetatable(_G)"), format!("{registering}user_function:2: {nonexistent} 'getmetatable'")),
        (body("redis.register_function()"), format!("{registering}wrong number of arguments to server.register_function")),
        (body("redis.register_function('f')"), format!("{registering}calling server.register_function with a single argument is only applicable to Lua table (representing named arguments).")),
        (body("redis.register_function('f', 1)"), format!("{registering}second argument to server.register_function must be a function")),
        (body("redis.register_function(nil, redis.log)"), format!("{registering}first argument to server.register_function must be a string")),
        (body("redis.register_function{}"), format!("{registering}server.register_function must get a function name argument")),
        (body("redis.register_function{function_name='f'}"), format!("{registering}server.register_function must get a callback argument")),
        (body("redis.register_function{[redis]=1}"), format!("{registering}named argument key given to server.register_function is not a string")),
        (body("redis.register_function{x=1}"), format!("{registering}unknown argument given to server.register_function")),
        (body("redis.register_function{function_name=redis}"), format!("{registering}function_name argument given to server.register_function must be a string")),
        (body("redis.register_function{description=redis}"), format!("{registering}description argument given to server.register_function must be a string")),
        (body("redis.register_function{callback=1}"), format!("{registering}callback argument given to server.register_function must be a function")),
        (body("redis.register_function{flags=1}"), format!("{registering}flags argument to server.register_function must be a table representing function flags")),
        (body("redis.register_function{flags={'x'}}"), format!("{registering}unknown flag given")),
        (body("redis.register_function('a-b', redis.log)"), "Function names can only contain letters, numbers, or underscores(_) and must be at least one character long".to_owned()),
        (body("redis.register_function('f', redis.log) redis.register_function('f', redis.log)"), "Function already exists in the library".to_owned()),
    ];
    for (code, complaint) in cases {
        assert_eq!(load(&mut functions, &code, true), Err(complaint), "{code}");
        assert_eq!(call(&mut functions, "f"), ":1\r\n", "{code}");
    }
    let same = library("lib", "f", "return 2");
    assert_eq!(
        load(&mut functions, &same, false),
        Err("Library 'lib' already exists".to_owned())
    );
    let other = library("other", "F", "return 2");
    assert_eq!(
        load(&mut functions, &other, false),
        Err("Function F already exists".to_owned())
    );
    assert_eq!(load(&mut functions, &same, true), Ok("lib".to_owned()));
    assert_eq!(call(&mut functions, "f"), ":2\r\n");
}

#[test]
fn a_library_cannot_reach_beyond_itself() {
    let mut functions = functions();
    let code = "#!lua name=lib
        local lib = redis
        redis.register_function('f1', function() lib.redis = redis end)
        redis.register_function('f2', function() lib.register_function('f3', function() end) end)
        redis.register_function('f3', function() redis.register_function('f4', function() end) end)
        redis.register_function('f4', function() local mt = getmetatable(_G) mt.__index['redis'] = 1 end)
        redis.register_function('f5', function() return KEYS end)
        redis.register_function('f6', function() return type(redis.call) end)
        redis.register_function('f7', function() return redis.breakpoint end)";
    load(&mut functions, code, false).unwrap();
    let cases = [
        (
            "f1",
            "-ERR user_function:3: Attempt to modify a readonly table script: on @user_function:3.\r\n",
        ),
        (
            "f2",
            "-ERR server.register_function can only be called on FUNCTION LOAD command script: on @user_function:4.\r\n",
        ),
        (
            "f3",
            "-ERR user_function:5: attempt to call field 'register_function' (a nil value) script: on @user_function:5.\r\n",
        ),
        (
            "f4",
            "-ERR user_function:6: Attempt to modify a readonly table script: on @user_function:6.\r\n",
        ),
        (
            "f5",
            "-ERR user_function:7: Script attempted to access nonexistent global variable 'KEYS' script: on @user_function:7.\r\n",
        ),
        ("f6", "$8\r\nfunction\r\n"),
        ("f7", "$-1\r\n"),
    ];
    for (name, reply) in cases {
        assert_eq!(call(&mut functions, name), reply, "{name}");
    }
}

#[test]
fn a_library_that_takes_too_long_to_load_is_stopped() {
    let mut functions = functions();
    let code = "#!lua name=lib\nwhile true do end";
    let error = functions.load(code.as_bytes(), false, &mut TestHost::killing_at(3));
    assert_eq!(
        error.unwrap_err().to_string(),
        "Error registering functions: ERR Script killed by user with SCRIPT KILL."
    );
    load(&mut functions, &library("lib", "f", "return 1"), false).unwrap();
    assert_eq!(call(&mut functions, "f"), ":1\r\n");
}

#[test]
fn restoring_takes_all_libraries_or_none() {
    let mut functions = functions();
    let one = library("one", "f", "return 1");
    let two = library("two", "g", "return 2");
    let clash = library("three", "f", "return 3");
    let newer = library("one", "f", "return 4");
    let restore = |functions: &mut Functions, codes: &[&String], policy| {
        let codes: Vec<&[u8]> = codes.iter().map(|code| code.as_bytes()).collect();
        functions
            .restore(&codes, policy, &mut TestHost::default())
            .map_err(|error| error.to_string())
    };
    restore(&mut functions, &[&one, &two], RestorePolicy::Append).unwrap();
    assert_eq!(functions.function_count(), 2);
    assert_eq!(
        restore(&mut functions, &[&newer], RestorePolicy::Append),
        Err("Library one already exists".to_owned())
    );
    assert_eq!(
        restore(&mut functions, &[&two, &clash], RestorePolicy::Replace),
        Err("Function f already exists".to_owned())
    );
    assert_eq!(call(&mut functions, "f"), ":1\r\n");
    restore(&mut functions, &[&newer], RestorePolicy::Replace).unwrap();
    assert_eq!(call(&mut functions, "f"), ":4\r\n");
    let broken = "#!lua name=x\nreturn".to_owned();
    assert!(restore(&mut functions, &[&two, &broken], RestorePolicy::Flush).is_err());
    assert_eq!(functions.libraries().len(), 2);
    restore(&mut functions, &[&clash], RestorePolicy::Flush).unwrap();
    assert_eq!(functions.libraries().len(), 1);
    assert_eq!(call(&mut functions, "f"), ":3\r\n");
}

#[test]
fn keys_and_arguments_arrive_whatever_their_number() {
    let code = "#!lua name=lib
        local function shown(words)
            local count = 0
            for _ in pairs(words) do count = count + 1 end
            return #words .. '/' .. count .. ':' .. table.concat(words, ',')
        end
        server.register_function('words', function(keys, args) return shown(keys) .. ' ' .. shown(args) end)";
    let mut functions = functions();
    load(&mut functions, code, false).unwrap();
    let script = "local function shown(words)
            local count = 0
            for _ in pairs(words) do count = count + 1 end
            return #words .. '/' .. count .. ':' .. table.concat(words, ',')
        end
        return shown(KEYS) .. ' ' .. shown(ARGV)";
    let mut interpreter = Interpreter::new(Settings::default()).unwrap();
    let (sha1, _) = interpreter.prepare(script.as_bytes()).unwrap();
    // Some are no UTF-8.
    let words: [&[u8]; 7] = [b"a", b"\xff\x00", b"", b"d", b"ee", b"f", b"g"];
    let shown = |words: &[&[u8]]| {
        let count = words.len();
        [format!("{count}/{count}:").as_bytes(), &words.join(&b',')].concat()
    };
    for count in 0..=words.len() {
        for keys in 0..=count {
            let (keys, args) = words[..count].split_at(keys);
            let mut expected = Reply::new();
            expected.bulk([shown(keys), shown(args)].join(&b' '));
            let expected = expected.into_vec();
            let function = functions.find(b"words").cloned().unwrap();
            let mut host = TestHost::default();
            let mut reply = Reply::new();
            functions.call(&function, keys, args, &mut host, &mut reply);
            assert_eq!(reply.into_vec(), expected);
            let mut reply = Reply::new();
            interpreter.run(sha1, keys, args, &mut host, &mut reply);
            assert_eq!(reply.into_vec(), expected);
        }
    }
}

#[test]
fn libraries_that_are_gone_leave_no_memory_behind() {
    let mut functions = functions();
    let with = |text: usize| library("lib", "f", &format!("return '{}'", "x".repeat(text)));
    load(&mut functions, &with(1), false).unwrap();
    functions.tidy();
    let before = functions.memory_used();
    for _ in 0..100 {
        load(&mut functions, &with(100_000), true).unwrap();
        call(&mut functions, "f");
    }
    load(&mut functions, &with(1), true).unwrap();
    // The function that was called last is held.
    call(&mut functions, "f");
    functions.tidy();
    let used = functions.memory_used();
    assert!(used < before + 10_000, "{used} bytes, {before} before");
}
