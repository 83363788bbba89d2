//! What scripts must not be able to do, and where replies differ from Redis 3.0.7 on purpose.

#![expect(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};

use common::TestHost;
use script::{Interpreter, Limits, LogLevel};

const SMALL: Limits = Limits {
    memory_bytes: 16 << 20,
    reply_bytes: 1 << 20,
};

fn interpreter() -> Interpreter {
    Interpreter::new(SMALL).unwrap()
}

fn eval_with(interpreter: &mut Interpreter, host: &mut TestHost, source: &str) -> String {
    let mut reply = Vec::new();
    interpreter.eval(source.as_bytes(), &[], &[], host, &mut reply);
    String::from_utf8_lossy(&reply).into_owned()
}

fn eval(source: &str) -> String {
    eval_with(&mut interpreter(), &mut TestHost::default(), source)
}

fn eval_with_room(source: &str) -> String {
    let mut interpreter = Interpreter::new(Limits::default()).unwrap();
    eval_with(&mut interpreter, &mut TestHost::default(), source)
}

/// Error replies name the script by its SHA1, which says nothing here.
fn without_sha1(reply: &str) -> String {
    match reply.split_once("f_") {
        Some((before, after)) if reply.starts_with("-ERR Error running") => {
            format!("{before}f{}", &after[40..])
        }
        _ => reply.to_owned(),
    }
}

/// The error text that a client sees, without what every such reply starts with.
fn error_of(reply: &str) -> &str {
    let text = reply.strip_prefix("-ERR Error running script (call to f_");
    let text = text.unwrap_or_else(|| panic!("no error: {reply:?}"));
    text[40..]
        .strip_prefix("): ")
        .unwrap()
        .strip_suffix(" \r\n")
        .unwrap()
}

#[test]
fn deliberate_differences_from_3_0() {
    let cases = [
        // Closing the function early ran the rest of the text while the script was loaded.
        (
            "end function f_x() return 2",
            "-ERR Error compiling script (new function): user_script:1: '<eof>' expected near 'end' \r\n",
        ),
        // Finalisers would run at any moment.
        (
            "return newproxy(true)",
            "-ERR Error running script (call to f): @enable_strict_lua:15: user_script:1: Script attempted to access \
             unexisting global variable 'newproxy' \r\n",
        ),
        // Read files.
        (
            "return dofile('/etc/passwd')",
            "-ERR Error running script (call to f): @enable_strict_lua:15: user_script:1: Script attempted to access \
             unexisting global variable 'dofile' \r\n",
        ),
        // Wrote beyond its buffer.
        ("return bit.tohex(65535,-2147483648)", "$8\r\n0000FFFF\r\n"),
        // Read before its data.
        (
            "return struct.unpack('b','abc',0)",
            "-ERR Error running script (call to f): @user_script:1: user_script:1: bad argument #3 to 'unpack' (offset \
             must be 1 or greater) \r\n",
        ),
        // Made bytecode.
        (
            "return string.dump(function() end)",
            "-ERR Error running script (call to f): @user_script:1: user_script:1: unable to dump given function \r\n",
        ),
        // Built-in globals cannot be removed, only covered.
        ("print=nil return type(print)", "$8\r\nfunction\r\n"),
        // Libraries are seen through tables that are empty themselves.
        ("return type(next(redis))", "$3\r\nnil\r\n"),
        // A call in tail position takes its caller's place, as `pcall` is a Lua function here.
        (
            "return pcall()",
            "-ERR Error running script (call to f): =[C]:-1: bad argument #1 to 'pcall' (value expected) \r\n",
        ),
        (
            "return xpcall(print)",
            "-ERR Error running script (call to f): =[C]:-1: bad argument #2 to 'xpcall' (value expected) \r\n",
        ),
        (
            "return coroutine.resume(5)",
            "-ERR Error running script (call to f): =[C]:-1: bad argument #1 to 'resume' (coroutine expected) \r\n",
        ),
        // The collector's pace is the server's.
        (
            "return {collectgarbage('setpause',1),collectgarbage('stop')}",
            "*2\r\n:200\r\n:0\r\n",
        ),
    ];
    for (source, reply) in cases {
        assert_eq!(without_sha1(&eval(source)), reply, "{source}");
    }
}

#[test]
fn nothing_that_a_script_changes_outlives_it() {
    let mut interpreter = interpreter();
    let mut host = TestHost::default();
    let changes = [
        "string.rep = nil string.upper = function() return 'evil' end return ('x'):upper()",
        "function string:twice() return self .. self end return ('x'):twice()",
        "redis.call = function() return 'evil' end return redis.call()",
        "rawset(redis, 'call', function() return 'evil' end) return redis.call()",
        "rawset(_G, 'leak', 1) return leak",
        "redis = {call = 5} return redis.call",
        "pcall = error tostring = 5 return tostring",
        "loadstring('leak = 5')() return leak",
        "setfenv(1, {}) return 1",
        "setfenv(0, {}) return 1",
        "math.random = function() return 4 end return math.random()",
        "table.insert(math, 'x') return math[1]",
        "rawset(getmetatable(''), '__index', {}) return 1",
        "KEYS = 5 ARGV = nil return KEYS",
    ];
    let probe = "return {('x'):upper(), type(string.rep), type(string.twice), redis.call('ping'), rawget(_G, 'leak'), 'end'}";
    let clean = "return {type(pcall), tostring(math[1]), tostring(math.random()), #KEYS, #ARGV, getmetatable('').__index == string}";
    for change in changes {
        let reply = eval_with(&mut interpreter, &mut host, change);
        assert!(!reply.starts_with('-'), "{change}: {reply}");
        assert_eq!(
            eval_with(&mut interpreter, &mut host, probe),
            "*4\r\n$1\r\nX\r\n$8\r\nfunction\r\n$3\r\nnil\r\n+PONG\r\n",
            "{change}"
        );
        assert_eq!(
            eval_with(&mut interpreter, &mut host, clean),
            "*6\r\n$8\r\nfunction\r\n$3\r\nnil\r\n$16\r\n0.17082803611217\r\n:0\r\n:0\r\n:1\r\n",
            "{change}"
        );
        // The script that did it finds its own globals again too.
        assert_eq!(
            eval_with(&mut interpreter, &mut host, change),
            reply,
            "{change}"
        );
    }
}

#[test]
fn what_a_killed_script_changed_is_put_back_too() {
    let mut interpreter = interpreter();
    let mut host = TestHost::killing_at(200);
    let change = "for i = 1, 50000 do rawset(string, 'k' .. i, i) end while true do end";
    let reply = eval_with(&mut interpreter, &mut host, change);
    assert!(error_of(&reply).ends_with("Script killed by user with SCRIPT KILL..."));
    let probe =
        "local n = 0 for i = 1, 50000 do if string['k' .. i] then n = n + 1 end end return n";
    assert_eq!(
        eval_with(&mut interpreter, &mut TestHost::default(), probe),
        ":0\r\n"
    );
}

#[test]
fn metatables_that_scripts_share_are_read_only() {
    let cases = [
        (
            "getmetatable('').__index = nil",
            "Attempt to modify a readonly table",
        ),
        (
            "getmetatable('').__add = print",
            "Attempt to modify a readonly table",
        ),
        (
            "setmetatable(_G, {})",
            "cannot change a protected metatable",
        ),
        (
            "setmetatable(string, {})",
            "cannot change a protected metatable",
        ),
        (
            "setmetatable(getmetatable(''), {})",
            "cannot change a protected metatable",
        ),
        (
            "getmetatable(_G).__index = nil",
            "attempt to index a boolean value",
        ),
    ];
    for (source, complaint) in cases {
        assert_eq!(
            error_of(&eval(source)),
            format!("@user_script:1: user_script:1: {complaint}")
        );
    }
}

#[test]
fn files_processes_bytecode_and_debug_are_out_of_reach() {
    for name in [
        "os", "io", "debug", "package", "require", "module", "loadfile", "dofile", "newproxy",
    ] {
        let text = format!(
            "@enable_strict_lua:15: user_script:1: Script attempted to access unexisting global variable '{name}'"
        );
        assert_eq!(error_of(&eval(&format!("return {name}"))), text);
    }
    for load in ["loadstring", "load"] {
        let chunk = if load == "load" {
            "(function() local s = c c = nil return s end)"
        } else {
            "(c)"
        };
        let reply = eval(&format!(
            "local c = '\\27LuaQ\\0\\1\\4\\8\\4\\8\\0' return select(2, {load}{chunk})"
        ));
        assert!(
            reply.contains("unexpected symbol near 'char(27)'"),
            "{load}: {reply}"
        );
    }
}

#[test]
fn errors_stay_on_one_line() {
    assert_eq!(
        error_of(&eval("error('a\\r\\n-ERR b')")),
        "@user_script:1: user_script:1: a  -ERR b"
    );
    assert_eq!(eval("return {err='a\\r\\n+OK'}"), "-a  +OK\r\n");
    assert_eq!(eval("return {ok='a\\n+OK'}"), "+a +OK\r\n");
    assert_eq!(eval("return redis.status_reply('a\\r\\nb')"), "+a  b\r\n");
}

/// Each of these would need more than the 16 MiB of the state, or far more.
const HUNGRY: &[&str] = &[
    "local s = 'x' while true do s = s .. s end",
    "local t = {} while true do t[#t+1] = {} end",
    "local t = {} for i = 1, 1e9 do t[i] = i end",
    "return string.rep('x', 2147483647)",
    "return ('x'):rep(1e7):rep(1e7)",
    "local s = ('x'):rep(1e6) return (s:gsub('x', s))",
    "local s = ('x'):rep(1e6) return (s:gsub('x', function() return s end))",
    "local s = ('x'):rep(1e6) return (s:gsub('.+', ('%0'):rep(1e6)))",
    "local s, t = ('x'):rep(1e6), {} for i = 1, 1000 do t[i] = s end return table.concat(t)",
    "local s, t = ('x'):rep(1e6), {} for i = 1, 1000 do t[i] = s end return cjson.encode(t)",
    "local s, t = ('x'):rep(1e6), {} for i = 1, 1000 do t[i] = s end return cmsgpack.pack(t)",
    "local t = {('x'):rep(1000)} for i = 1, 14 do t = {t,t,t,t,t,t,t,t} end return cmsgpack.pack(t)",
    "local t = {('x'):rep(1000)} for i = 1, 50 do t = {t,t,t,t,t,t,t,t} end return cjson.encode(t)",
    "local s = ('[],'):rep(2000000) return cjson.decode('[' .. s .. '1]')",
    "local s = ('\\144'):rep(1000000) return cmsgpack.unpack('\\221\\0\\16\\0\\0' .. s)",
    "local s, t = ('x'):rep(4e6), {} for i = 1, 7000 do t[i] = s end return struct.pack(('s'):rep(7000), unpack(t))",
    "local s, t = ('x'):rep(4e6), {} for i = 1, 7000 do t[i] = s end return redis.log(1, unpack(t))",
    "local s, t = ('x'):rep(4e6), {} for i = 1, 7000 do t[i] = s end return redis.call('del', unpack(t))",
    "return load(function() return ('x'):rep(1e6) end)",
    "return string.format('%s%s', ('x'):rep(8e6), ('x'):rep(8e6))",
    "return redis.call('echo', ('x'):rep(8e6)) .. 'x'",
];

#[test]
fn memory_is_bounded() {
    let mut interpreter = interpreter();
    let mut host = TestHost::default();
    for source in HUNGRY {
        let reply = eval_with(&mut interpreter, &mut host, source);
        assert!(
            error_of(&reply).ends_with("not enough memory"),
            "{source}: {reply}"
        );
        assert!(interpreter.memory_used() < SMALL.memory_bytes, "{source}");
        assert_eq!(eval_with(&mut interpreter, &mut host, "return 1"), ":1\r\n");
    }
    let reply = eval_with(
        &mut interpreter,
        &mut host,
        "return {pcall(string.rep, 'x', 2e9)}",
    );
    assert_eq!(reply, "*2\r\n$-1\r\n$17\r\nnot enough memory\r\n");
}

#[test]
fn a_string_beyond_the_longest_value_is_not_even_begun() {
    // There would be room for it.
    assert!(Limits::default().memory_bytes > 1_000_000_000);
    assert_eq!(
        eval("return {pcall(string.rep, 'x', 1e9)}"),
        "*2\r\n$-1\r\n$17\r\nnot enough memory\r\n"
    );
}

#[test]
fn replies_are_bounded() {
    let wide = "local t = {1,1,1,1,1,1,1,1} for i = 1, 50 do t = {t,t,t,t,t,t,t,t} end return t";
    assert_eq!(error_of(&eval(wide)), "the script's reply is too long");
    let endless = "return setmetatable({}, {__index = function(_, k) if type(k) == 'number' then return k end end})";
    assert_eq!(error_of(&eval(endless)), "the script's reply is too long");
}

#[test]
fn deep_nesting_is_an_error() {
    let nested = |depth: u32, rest: &str| {
        format!("local t = {{}} for i = 1, {depth} do t = {{t}} end {rest}")
    };
    assert_eq!(
        eval_with_room(&nested(300_000, "return t")),
        "-ERR reached lua stack limit\r\n"
    );
    assert_eq!(
        eval_with_room("local t = {} t[1] = t return t"),
        "-ERR reached lua stack limit\r\n"
    );
    assert_eq!(
        eval_with_room(&nested(999, "return t")),
        format!("{}*0\r\n", "*1\r\n".repeat(999))
    );
    let nesting = "@user_script:1: user_script:1: Cannot serialise, excessive nesting (1001)";
    assert_eq!(
        error_of(&eval_with_room(&nested(300_000, "return cjson.encode(t)"))),
        nesting
    );
    let forced = "cjson.encode_max_depth(1e9) return cjson.encode(t)";
    assert_eq!(error_of(&eval_with_room(&nested(300_000, forced))), nesting);
    assert_eq!(
        error_of(&eval_with_room(
            "cjson.decode_max_depth(1e9) return cjson.decode(('['):rep(300000))"
        )),
        "@user_script:1: user_script:1: Found too many nested data structures (1001) at character 1001"
    );
    let too_many = "@user_script:1: user_script:1: stack overflow (too many return values at once; use unpack_one or \
                    unpack_limit instead.)";
    assert_eq!(
        error_of(&eval_with_room(
            "return cmsgpack.unpack(('\\145'):rep(300000))"
        )),
        too_many
    );
    assert_eq!(
        error_of(&eval_with_room(
            "return cmsgpack.unpack(('\\1'):rep(300000))"
        )),
        too_many
    );
    let results = "return struct.unpack(('b'):rep(9000), ('x'):rep(9000))";
    assert_eq!(
        error_of(&eval_with_room(results)),
        "@user_script:1: user_script:1: stack overflow (too many results)"
    );
    let reply = "*1\\r\\n".repeat(300_000);
    assert_eq!(
        error_of(&eval_with_room(&format!(
            "return redis.call('raw', '{reply}')"
        ))),
        "@user_script:1: reached lua stack limit"
    );
}

#[test]
fn recursion_ends_in_an_error() {
    let cases = [
        "local function f() return 1 + f() end return f()",
        "local function f() return (pcall(f)) end return f() and 1",
        "local function f(s) return (s:gsub('.', f)) end return f('x')",
        "local t = {} setmetatable(t, {__index = function(_, k) return t[k .. 'x'] end}) return t.x",
        "local t = {} for i = 1, 100000 do t = setmetatable({}, {__index = t}) end return t.x",
        "local function f() return coroutine.wrap(f)() end return f()",
        "return bit.band(unpack((function() local t = {} for i = 1, 7900 do t[i] = '1' end return t end)()))",
        "return redis.log(1, unpack((function() local t = {} for i = 1, 7900 do t[i] = 'v' .. i end return t end)()))",
        "return redis.call('del', unpack((function() local t = {} for i = 1, 7900 do t[i] = 'v' .. i end return t end)()))",
        "return string.find(('a'):rep(500000), ('a?'):rep(500000))",
        "return string.find(('a'):rep(500000), ('(a)'):rep(500000))",
        "return string.find(('('):rep(500000), ('%('):rep(500000))",
    ];
    let mut interpreter = interpreter();
    for source in cases {
        // Some succeed; none may overflow Rust's stack or leave the state unusable.
        let reply = eval_with(&mut interpreter, &mut TestHost::default(), source);
        assert!(!reply.is_empty(), "{source}");
        assert_eq!(
            eval_with(&mut interpreter, &mut TestHost::default(), "return 1"),
            ":1\r\n",
            "{source}"
        );
    }
    let deep = "return string.find(('a'):rep(5000), ('a?'):rep(5000))";
    assert_eq!(
        error_of(&eval(deep)),
        "@user_script:1: user_script:1: pattern too complex"
    );
}

/// None of these ends by itself, and some try to survive being stopped.
const ENDLESS: &[&str] = &[
    "while true do end",
    "while true do pcall(function() while true do end end) end",
    "while true do pcall(pcall, function() while true do end end) end",
    "while true do xpcall(function() while true do end end, function() while true do end end) end",
    "while true do xpcall(error, function() return 1 end) end",
    "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
    "while true do pcall(coroutine.wrap(function() while true do end end)) end",
    "local co = coroutine.wrap(function() while true do coroutine.yield() end end) while true do co() end",
    "while true do redis.call('ping') end",
    "while true do pcall(redis.call, 'ping') end",
    "while true do pcall(redis.call, 'nosuch') end",
    "while true do ('x'):gsub('x', function() while true do end end) end",
    "while true do pcall(table.sort, {3, 2, 1}, function() while true do end end) end",
    "return setmetatable({}, {__index = function() while true do end end})",
    "local t = setmetatable({}, {__index = function() while true do end end}) return pcall(string.gsub, 'x', 'x', t)",
    "while true do load(function() while true do end end) end",
    "return load(function() return ' ' end)",
    "local s = ('a'):rep(60) return s:find(('a-'):rep(30) .. 'b')",
    "while true do pcall(string.find, ('a'):rep(60), ('a*'):rep(30) .. 'b') end",
    "local t = {1,1,1,1,1,1,1,1} for i = 1, 900 do t = {t,t} end return cjson.encode(t)",
    "return tostring(setmetatable({}, {__tostring = function() while true do end end}))",
    "while true do local ok, e = pcall(error) if ok then return end end",
    "local function f() pcall(f) return f() end return f()",
    "for i = 1, 1e15 do end",
    "repeat until false",
];

#[test]
fn a_killed_script_ends_whatever_it_does() {
    let mut interpreter = Interpreter::new(Limits::default()).unwrap();
    for source in ENDLESS {
        let mut host = TestHost::killing_at(3);
        let reply = eval_with(&mut interpreter, &mut host, source);
        let text = error_of(&reply);
        assert!(
            text.ends_with("Script killed by user with SCRIPT KILL..."),
            "{source}: {text}"
        );
        assert_eq!(host.ticks, 3, "{source}");
        // The next script starts afresh.
        assert_eq!(eval_with(&mut interpreter, &mut host, "return 1"), ":1\r\n");
    }
    let mut host = TestHost::killing_at(1);
    assert_eq!(
        error_of(&eval_with(&mut interpreter, &mut host, "while true do end")),
        "@user_script:1: Script killed by user with SCRIPT KILL..."
    );
}

#[test]
fn ticks_come_with_instructions_commands_and_long_library_work() {
    let mut interpreter = Interpreter::new(Limits::default()).unwrap();
    let mut ticks = |source: &str| {
        let mut host = TestHost::default();
        let reply = eval_with(&mut interpreter, &mut host, source);
        assert!(!reply.starts_with('-'), "{reply}");
        host.ticks
    };
    assert_eq!(ticks("return 1"), 0);
    assert!(ticks("for i = 1, 1000000 do end") >= 100);
    assert_eq!(ticks("for i = 1, 320 do redis.call('ping') end"), 10);
    assert!(
        ticks(
            "return #cjson.encode({('x'):rep(10):gsub('x', ('y,'):rep(2))}) and cjson.encode((function() local t = {} for i = 1, 100000 do t[i] = i end return t end)()) and 1"
        ) > 20
    );
    assert!(ticks("return ('x'):rep(1000000):find('y-z')") > 100);
}

#[test]
fn what_takes_no_end_of_steps_in_lua_5_1_is_short() {
    assert_eq!(
        eval("local t = {1, 2} table.insert(t, -2147483648, 'x') return t[-2147483648]"),
        "$1\r\nx\r\n"
    );
    assert_eq!(eval("return string.rep('', 2147483647)"), "$0\r\n\r\n");
    assert_eq!(eval("return #string.rep('x', -2147483648)"), ":0\r\n");
}

#[test]
fn a_panic_of_the_host_passes_through_scripts() {
    let mut interpreter = interpreter();
    for source in [
        "redis.call('panic')",
        "return pcall(redis.call, 'panic')",
        "while true do pcall(redis.pcall, 'panic') end",
        "return coroutine.resume(coroutine.create(function() redis.call('panic') end))",
    ] {
        let mut host = TestHost::default();
        let result = catch_unwind(AssertUnwindSafe(|| {
            eval_with(&mut interpreter, &mut host, source)
        }));
        let panic = result.expect_err(source);
        assert_eq!(
            panic.downcast_ref::<&str>(),
            Some(&"a command failed badly")
        );
        assert_eq!(host.calls, 1, "{source}");
        assert_eq!(
            eval_with(&mut interpreter, &mut TestHost::default(), "return 1"),
            ":1\r\n"
        );
    }
}

#[test]
fn log_lines_reach_the_host() {
    let mut host = TestHost::default();
    let source = "redis.log(redis.LOG_WARNING, 'a', 5, {}, 'b') redis.log('1', 'x\\0y') print('p', nil, 1.5)";
    assert_eq!(eval_with(&mut interpreter(), &mut host, source), "$-1\r\n");
    let expected: &[(LogLevel, &[u8])] = &[
        (LogLevel::Warning, b"a 5 b"),
        (LogLevel::Verbose, b"x\0y"),
        (LogLevel::Debug, b"p\tnil\t1.5"),
    ];
    let logged: Vec<(LogLevel, &[u8])> = host
        .logged
        .iter()
        .map(|(level, text)| (*level, &text[..]))
        .collect();
    assert_eq!(logged, expected);
}

#[test]
fn commands_replies_of_every_kind_reach_scripts() {
    let cases = [
        ("return redis.call('raw', ':-5\\r\\n')", ":-5\r\n"),
        ("return redis.call('raw', '*-1\\r\\n') == false", ":1\r\n"),
        (
            "return redis.call('raw', '*2\\r\\n*1\\r\\n+OK\\r\\n-ERR x\\r\\n')",
            "*2\r\n*1\r\n+OK\r\n-ERR x\r\n",
        ),
        (
            "return redis.pcall('raw', '-BUSYKEY x\\r\\n').err",
            "$9\r\nBUSYKEY x\r\n",
        ),
        (
            "return redis.call('raw', ':9223372036854775807\\r\\n')",
            ":-9223372036854775808\r\n",
        ),
    ];
    for (source, reply) in cases {
        assert_eq!(eval(source), reply, "{source}");
    }
    for malformed in [
        "",
        "x",
        "$5\\r\\nabc\\r\\n",
        "*9\\r\\n",
        "*99999999999\\r\\n:1\\r\\n",
        "$-5\\r\\n",
        ":1",
        "*1\\r\\n",
    ] {
        let reply = eval(&format!("return redis.call('raw', '{malformed}')"));
        assert_eq!(
            error_of(&reply),
            "@user_script:1: the command's reply is malformed",
            "{malformed}"
        );
    }
    assert_eq!(
        error_of(&eval("return redis.call('replicaof')")),
        "@user_script:1: @user_script: 1: -READONLY You can't write against a read only slave.  "
    );
}
