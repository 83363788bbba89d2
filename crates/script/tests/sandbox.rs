//! What scripts must not be able to do, and where replies differ from Redis 3.0.7 on purpose.

#![expect(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};

use common::{TestHost, eval_in};
use resp::Protocol;
use script::{Interpreter, LogLevel, Settings, Targets};

const SMALL_BYTES: usize = 16 << 20;

fn small() -> Settings {
    Settings {
        memory_bytes: SMALL_BYTES,
        reply_bytes: 1 << 20,
        ..Settings::default()
    }
}

fn interpreter() -> Interpreter {
    Interpreter::new(small()).unwrap()
}

fn eval_with(interpreter: &mut Interpreter, host: &mut TestHost, source: &str) -> String {
    let reply = eval_in(
        Protocol::Resp2,
        interpreter,
        host,
        source.as_bytes(),
        &[],
        &[],
    );
    String::from_utf8_lossy(&reply).into_owned()
}

fn eval(source: &str) -> String {
    eval_with(&mut interpreter(), &mut TestHost::default(), source)
}

fn eval_with_room(source: &str) -> String {
    let mut interpreter = Interpreter::new(Settings::default()).unwrap();
    eval_with(&mut interpreter, &mut TestHost::default(), source)
}

/// The error text that a client sees, without what every such reply starts and ends with.
fn error_of(reply: &str) -> &str {
    let text = reply
        .strip_prefix("-ERR ")
        .and_then(|text| text.strip_suffix("\r\n"));
    let text = text.unwrap_or_else(|| panic!("no error: {reply:?}"));
    text.split_once(" script: on ")
        .map_or(text, |(text, _)| text)
}

#[test]
fn deliberate_differences_from_valkey() {
    let cases = [
        // Read before its data.
        (
            "return struct.unpack('b','abc',0)",
            "-ERR user_script:1: bad argument #3 to 'unpack' (offset must be 1 or greater) script: on @user_script:1.\r\n",
        ),
        // Makes bytecode.
        (
            "return string.dump(function() end)",
            "-ERR user_script:1: unable to dump given function script: on @user_script:1.\r\n",
        ),
        // The collector's pace is the server's.
        (
            "return {collectgarbage('setpause',1),collectgarbage('stop')}",
            "*2\r\n:200\r\n:0\r\n",
        ),
    ];
    for (source, reply) in cases {
        assert_eq!(eval(source), reply, "{source}");
    }
}

#[test]
fn nothing_that_scripts_share_can_be_changed() {
    let read_only = "Attempt to modify a readonly table";
    let located = format!("user_script:1: {read_only}");
    let by_assignment = [
        "leak = 1",
        "string.rep = nil",
        "function string:twice() return self .. self end",
        "redis.call = function() return 'evil' end",
        "redis = {}",
        "_G = {}",
        "_G.pcall = error",
        "KEYS = 5",
        "loadstring('x = 1', '@x')()",
        "math.random = nil",
        "cjson.encode = nil",
        "os.clock = nil",
        "getmetatable('').__index = nil",
        "getmetatable('').__add = error",
        "getmetatable(_G).__index = {}",
    ];
    for source in by_assignment {
        assert!(
            error_of(&eval(source)).ends_with(read_only),
            "{source}: {}",
            eval(source)
        );
    }
    assert_eq!(error_of(&eval("leak = 1")), located);
    for source in [
        "rawset(_G, 'leak', 1)",
        "rawset(redis, 'call', 1)",
        "rawset(getmetatable(''), '__index', {})",
        "setmetatable(_G, {})",
        "setmetatable(string, {})",
        "setmetatable(getmetatable(''), {})",
        "table.insert(math, 'x')",
        "table.insert(redis, 1, 'x')",
    ] {
        assert_eq!(error_of(&eval(source)), read_only, "{source}");
    }
    // A copy is what `pairs` goes through; what it hands out is not what others find.
    let mut interpreter = interpreter();
    let mut host = TestHost::default();
    let copies = "local _, t = pairs(redis) t.call = 1 local _, s = pairs(string) s.rep = 1 return type(redis.call)";
    assert_eq!(
        eval_with(&mut interpreter, &mut host, copies),
        "$8\r\nfunction\r\n"
    );
    let probe = "KEYS[1] = 'x' ARGV.y = 1 return {type(string.rep), type(redis.call), #KEYS}";
    for _ in 0..2 {
        assert_eq!(
            eval_with(&mut interpreter, &mut host, probe),
            "*3\r\n$8\r\nfunction\r\n$8\r\nfunction\r\n:1\r\n"
        );
    }
    assert_eq!(
        eval_with(&mut interpreter, &mut host, "return #KEYS"),
        ":0\r\n"
    );
}

#[test]
fn shared_tables_can_be_read_in_every_way() {
    let cases = [
        ("return type(rawget(redis, 'call'))", "$8\r\nfunction\r\n"),
        ("return type(next(redis))", "$6\r\nstring\r\n"),
        (
            "local n = 0 for k in pairs(os) do n = n + 1 end return n",
            ":1\r\n",
        ),
        ("return type(getmetatable(redis))", "$3\r\nnil\r\n"),
        ("return server == redis and 1", ":1\r\n"),
        ("return os.clock() * 2", ":3\r\n"),
        ("return ('x'):upper()", "$1\r\nX\r\n"),
    ];
    for (source, reply) in cases {
        assert_eq!(eval(source), reply, "{source}");
    }
}

// The published faults of Lua in Redis and Valkey, one by one.

#[test]
fn cve_2022_0543_no_package_and_nothing_else_that_leads_outside() {
    for name in [
        "package", "io", "debug", "require", "module", "loadfile", "dofile", "newproxy", "print",
        "getfenv", "setfenv",
    ] {
        let text = format!(
            "user_script:1: Script attempted to access nonexistent global variable '{name}'"
        );
        assert_eq!(error_of(&eval(&format!("return {name}"))), text);
    }
    for name in [
        "execute",
        "exit",
        "getenv",
        "remove",
        "rename",
        "setlocale",
        "tmpname",
    ] {
        let text = format!("user_script:1: attempt to call field '{name}' (a nil value)");
        assert_eq!(error_of(&eval(&format!("return os.{name}()"))), text);
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
fn cve_2022_24834_json_of_long_strings_is_counted_in_whole_sizes() {
    // Escapes make six bytes of one; the sum is beyond what there is room for, and beyond 32 bits where there were.
    let source = "local s = string.rep(string.char(0), 3e6) local t = {} for i = 1, 300 do t[i] = s end return cjson.encode(t)";
    assert_eq!(error_of(&eval(source)), "not enough memory");
    assert_eq!(
        eval("return #cjson.encode(string.rep(string.char(1), 1e6))"),
        ":6000002\r\n"
    );
}

#[test]
fn cve_2024_31449_tohex_takes_any_count() {
    assert_eq!(
        eval(
            "return {bit.tohex(65535, -2147483648), bit.tohex(65535, 2147483647), bit.tohex(1, -1)}"
        ),
        "*3\r\n$8\r\n0000FFFF\r\n$8\r\n0000ffff\r\n$1\r\n1\r\n"
    );
}

#[test]
fn cve_2024_46981_scripts_make_no_finalizers() {
    // Only userdata have them in Lua 5.1, and no script can make one.
    let source = "local n = 0 do local t = setmetatable({}, {__gc = function() n = n + 1 end}) end collectgarbage() collectgarbage('step', 1e9) return n";
    assert_eq!(eval(source), ":0\r\n");
    assert!(eval("newproxy(true)").contains("nonexistent global variable"));
}

#[test]
fn cve_2025_49844_chunk_names_outlive_their_compilation() {
    // The reader of `load` may collect while the parser works; here it is asked for everything before.
    let source = "local n = 0
        for i = 1, 200 do
            local f, e = load(function() collectgarbage() return nil end, ('=name'):rep(50) .. i)
            local g, h = load(function() collectgarbage() n = n + 1 if n % 3 == 0 then return nil end return 'x ' end, ('@other'):rep(50) .. i)
            if not f or not h then return {tostring(e), tostring(h)} end
        end
        for i = 1, 200 do
            local f = loadstring('error()', ('n'):rep(100) .. i)
            collectgarbage()
            pcall(f)
        end
        return 1";
    assert_eq!(eval(source), ":1\r\n");
}

#[test]
fn cve_2025_46817_unpack_counts_beyond_32_bits() {
    for range in [
        "0, 2147483647",
        "-2147483648, 2147483647",
        "-2147483648, -2",
        "-2, 2147483647",
        "1, 1e15",
        "-1e15, 1",
        "1, 1/0",
        "0/0, 1",
    ] {
        let source = format!("return {{unpack({{1, 2, 3}}, {range})}}");
        assert_eq!(
            error_of(&eval(&source)),
            "user_script:1: too many results to unpack",
            "{range}"
        );
    }
    assert_eq!(
        eval(
            "return {select('#', unpack({1, 2, 3}, -1, 5)), select('#', unpack({}, -2147483648, -2147483646)), select('#', unpack({}, 2147483645, 2147483647)), select('#', unpack({}, 1, -1)), unpack({1, 2}, '1')}"
        ),
        "*6\r\n:7\r\n:3\r\n:3\r\n:0\r\n:1\r\n:2\r\n"
    );
    // What else of Lua 5.1 counts in 32 bits.
    for source in [
        "return table.concat({}, '', -2147483648, 2147483647)",
        "return table.concat({}, '', 2147483647, -2147483648)",
        "return table.remove({1}, 2147483648)",
        "return table.insert({1}, 2147483647, 1)",
        "return select(-2147483648, 1)",
        "return ('x'):byte(-2147483648, 2147483647)",
        "return ('x'):byte(-9223372036854775808, 9223372036854775807)",
        "return ('x'):sub(-9223372036854775808, 9223372036854775807)",
        "return ('x'):rep(2147483648)",
        "return ('x'):rep(-2147483649)",
        "return tonumber('1', 2147483648)",
        "return math.random(-2147483648, 2147483647)",
        "return string.format('%99999999999d', 1)",
        "return string.format('%.2147483648f', 1)",
        "return struct.pack('!2147483648i', 1)",
        "return struct.unpack('c2147483648', 'x')",
        "return struct.size('i2147483648')",
        "return cmsgpack.unpack_limit('x', 2147483647, 2147483647)",
        "return bit.lshift(1, 2147483648)",
        "return collectgarbage('step', 2147483648)",
        "error('x', 2147483648)",
    ] {
        assert!(!eval(source).is_empty(), "{source}");
    }
}

#[test]
fn cve_2025_46818_metatables_of_basic_types_are_out_of_reach() {
    for value in [
        "nil",
        "''",
        "123.2",
        "true",
        "function() end",
        "coroutine.create(function() end)",
    ] {
        let reply = eval(&format!(
            "getmetatable({value}).__index = function() return 1 end"
        ));
        let text = error_of(&reply);
        assert!(
            text.ends_with("attempt to index a nil value")
                || text.ends_with("Attempt to modify a readonly table"),
            "{value}: {text}"
        );
    }
}

#[test]
fn cve_2025_46819_long_brackets_of_any_length() {
    let mut interpreter = Interpreter::new(Settings::default()).unwrap();
    let mut host = TestHost::default();
    let source = "local sep = ('='):rep(5e7) collectgarbage() return #loadstring('return [' .. sep .. '[x]' .. sep .. ']')()";
    assert_eq!(eval_with(&mut interpreter, &mut host, source), ":1\r\n");
    for source in [
        "return loadstring('[')",
        "return loadstring('[=')",
        "return loadstring('x = [=====')",
        "return loadstring('--[=')",
        "return loadstring('[==[ x ]=]')",
    ] {
        assert_eq!(
            eval_with(&mut interpreter, &mut host, source),
            "$-1\r\n",
            "{source}"
        );
    }
    // A source so long that its parts could not be counted in 32 bits is not even begun.
    let long = vec![b'='; (1 << 29) + 1];
    let error = interpreter.load(&long).unwrap_err();
    assert!(error.to_string().ends_with("not enough memory"));
}

#[test]
fn errors_stay_on_one_line() {
    assert_eq!(
        error_of(&eval("error('a\\r\\n-ERR b')")),
        "user_script:1: a  -ERR b"
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
    "local t = {} while true do t[#t+1] = redis.call('echo', ('x'):rep(1000) .. #t) end",
    "local t, r = {}, '*1000\\r\\n' .. (':1\\r\\n'):rep(1000) while true do t[#t+1] = redis.call('raw', r) end",
    "local t = {} while true do t[#t+1] = redis.call('ping') end",
    "local t = {} while true do t[#t+1] = redis.pcall('nosuch') end",
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
        assert!(interpreter.memory_used() < SMALL_BYTES, "{source}");
        assert_eq!(
            eval_with(&mut interpreter, &mut host, "return 1"),
            ":1\r\n",
            "{source}"
        );
    }
    let reply = eval_with(
        &mut interpreter,
        &mut host,
        "return {pcall(string.rep, 'x', 2e9)}",
    );
    assert_eq!(reply, "*2\r\n$-1\r\n$17\r\nnot enough memory\r\n");
}

#[test]
fn keys_and_arguments_are_within_the_bound() {
    let mut interpreter = interpreter();
    let mut host = TestHost::default();
    let long = [b'x', b'y', b'z'].map(|byte| vec![byte; SMALL_BYTES / 2]);
    let (long, short) = (long.each_ref().map(Vec::as_slice), [b'x'; 5000]);
    let mut run = |keys: &[&[u8]], argv: &[&[u8]]| {
        let source = b"return {#KEYS, #ARGV}";
        let mut eval = |keys, argv| {
            let reply = eval_in(
                Protocol::Resp2,
                &mut interpreter,
                &mut host,
                source,
                keys,
                argv,
            );
            String::from_utf8_lossy(&reply).into_owned()
        };
        (eval(keys, argv), eval(&[], &[]), interpreter.memory_used())
    };
    for (keys, argv) in [(&long[..], &[][..]), (&[], &long)] {
        let (reply, next, used) = run(keys, argv);
        assert_eq!(error_of(&reply), "Error running script, not enough memory");
        assert_eq!(next, "*2\r\n:0\r\n:0\r\n");
        assert!(used < SMALL_BYTES / 2, "{used}");
    }
    let (reply, next, _) = run(&[&short], &[&short, b"y"]);
    assert_eq!(reply, "*2\r\n:1\r\n:2\r\n");
    assert_eq!(next, "*2\r\n:0\r\n:0\r\n");
}

#[test]
fn a_string_beyond_the_longest_value_is_not_even_begun() {
    // There would be room for it.
    assert!(Settings::default().memory_bytes > 1_000_000_000);
    assert_eq!(
        eval("return {pcall(string.rep, 'x', 1e9)}"),
        "*2\r\n$-1\r\n$17\r\nnot enough memory\r\n"
    );
}

#[test]
fn replies_are_bounded() {
    let wide = "local t = {1,1,1,1,1,1,1,1} for i = 1, 50 do t = {t,t,t,t,t,t,t,t} end return t";
    let too_long = "Error running script, the script's reply is too long";
    assert_eq!(error_of(&eval(wide)), too_long);
    let map = "local t = {map = {1,1,1,1,1,1,1,1}} for i = 1, 50 do t = {map = {t,t,t,t,t,t,t,t}} end return t";
    assert_eq!(error_of(&eval(map)), too_long);
    // Metatables have no say in it.
    let endless = "return setmetatable({}, {__index = function(_, k) if type(k) == 'number' then return k end end})";
    assert_eq!(eval(endless), "*0\r\n");
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
    let nesting = "user_script:1: Cannot serialise, excessive nesting (1001)";
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
        "user_script:1: Found too many nested data structures (1001) at character 1001"
    );
    let too_many = "user_script:1: stack overflow (too many return values at once; use unpack_one or \
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
        "user_script:1: stack overflow (too many results)"
    );
    let reply = "*1\\r\\n".repeat(300_000);
    assert_eq!(
        error_of(&eval_with_room(&format!(
            "return redis.call('raw', '{reply}')"
        ))),
        "reached lua stack limit"
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
    assert_eq!(error_of(&eval(deep)), "user_script:1: pattern too complex");
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
    let mut interpreter = Interpreter::new(Settings::default()).unwrap();
    for source in ENDLESS {
        let mut host = TestHost::killing_at(3);
        let reply = eval_with(&mut interpreter, &mut host, source);
        let text = error_of(&reply);
        assert!(
            text.ends_with("Script killed by user with SCRIPT KILL."),
            "{source}: {text}"
        );
        assert_eq!(host.ticks, 3, "{source}");
        // The next script starts afresh.
        let mut host = TestHost::default();
        assert_eq!(eval_with(&mut interpreter, &mut host, "return 1"), ":1\r\n");
    }
    let mut host = TestHost::killing_at(1);
    assert_eq!(
        error_of(&eval_with(&mut interpreter, &mut host, "while true do end")),
        "Script killed by user with SCRIPT KILL."
    );
}

#[test]
fn ticks_come_with_instructions_commands_and_long_library_work() {
    let mut interpreter = Interpreter::new(Settings::default()).unwrap();
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
    let source = "redis.log(redis.LOG_WARNING, 'a', 5, {}, 'b') redis.log('1', 'x\\0y')";
    assert_eq!(eval_with(&mut interpreter(), &mut host, source), "$-1\r\n");
    let expected: &[(LogLevel, &[u8])] =
        &[(LogLevel::Warning, b"a 5 b"), (LogLevel::Verbose, b"x\0y")];
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
        ("return redis.call('raw', '$-1\\r\\n') == false", ":1\r\n"),
        ("return #redis.call('raw', '*0\\r\\n')", ":0\r\n"),
        ("return redis.call('raw', '+a b\\r\\n').ok", "$3\r\na b\r\n"),
        (
            "local t = redis.call('raw', '*4\\r\\n$1\\r\\na\\r\\n$-1\\r\\n:7\\r\\n$0\\r\\n\\r\\n') return {t[1], t[2] == false, t[3], t[4], #t}",
            "*5\r\n$1\r\na\r\n:1\r\n:7\r\n$0\r\n\r\n:4\r\n",
        ),
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
        ":x\\r\\n",
        "*1\\r\\n",
        "*-2\\r\\n",
        "*2\\r\\n:1\\r\\n",
        "*2\\r\\n$1\\r\\na\\r\\n$9\\r\\nb\\r\\n",
    ] {
        let reply = eval(&format!("return redis.call('raw', '{malformed}')"));
        assert_eq!(
            error_of(&reply),
            "the command's reply is malformed",
            "{malformed}"
        );
    }
    assert_eq!(
        eval("return redis.call('replicaof')"),
        "-READONLY You can't write against a read only replica. script: on @user_script:1.\r\n"
    );
}

#[test]
fn replies_of_resp3_reach_scripts() {
    let cases = [
        ("',1.5\\r\\n').double * 2", ":3\r\n"),
        ("'(123\\r\\n').big_number", "$3\r\n123\r\n"),
        (
            "'=6\\r\\ntxt:ab\\r\\n').verbatim_string.format",
            "$3\r\ntxt\r\n",
        ),
        (
            "'=6\\r\\ntxt:ab\\r\\n').verbatim_string.string",
            "$2\r\nab\r\n",
        ),
        ("'#t\\r\\n') == true", "#t\r\n"),
        ("'#f\\r\\n') == false", "#t\r\n"),
        ("'_\\r\\n') == nil", "#t\r\n"),
        ("'%1\\r\\n+a\\r\\n:5\\r\\n').map", "*0\r\n"),
        ("'%1\\r\\n$1\\r\\na\\r\\n:5\\r\\n').map.a", ":5\r\n"),
        ("'%1\\r\\n_\\r\\n:5\\r\\n').map", "*0\r\n"),
        ("'~1\\r\\n$1\\r\\na\\r\\n').set.a", "#t\r\n"),
        ("'|1\\r\\n+a\\r\\n+b\\r\\n:7\\r\\n')", ":7\r\n"),
        ("'*3\\r\\n_\\r\\n:1\\r\\n:2\\r\\n')[3]", ":2\r\n"),
    ];
    for (rest, expected) in cases {
        let source = format!("redis.setresp(3) return redis.call('raw', {rest}");
        let reply = eval_in(
            Protocol::Resp3,
            &mut interpreter(),
            &mut TestHost::default(),
            source.as_bytes(),
            &[],
            &[],
        );
        assert_eq!(String::from_utf8_lossy(&reply), expected, "{rest}");
    }
    for malformed in [
        "%2\\r\\n:1\\r\\n",
        "~9\\r\\n",
        "=2\\r\\nab\\r\\n",
        "%-1\\r\\n",
        "|1\\r\\n",
    ] {
        let reply = eval(&format!("return redis.call('raw', '{malformed}')"));
        assert_eq!(
            error_of(&reply),
            "the command's reply is malformed",
            "{malformed}"
        );
    }
}

#[test]
fn scripts_say_where_their_changes_are_told() {
    let mut host = TestHost::default();
    let mut targets = |source: &str| {
        eval_with(&mut interpreter(), &mut host, source);
        host.targets.take().unwrap()
    };
    let only = |file, replicas| Targets { file, replicas };
    assert_eq!(targets("redis.call('ping')"), Targets::ALL);
    for (name, expected) in [
        ("REPL_NONE", only(false, false)),
        ("REPL_AOF", only(true, false)),
        ("REPL_REPLICA", only(false, true)),
        ("REPL_SLAVE", only(false, true)),
        ("REPL_ALL", Targets::ALL),
    ] {
        assert_eq!(
            targets(&format!("redis.set_repl(redis.{name}) redis.call('ping')")),
            expected
        );
    }
    assert!(eval("redis.set_repl(12345)").starts_with("-ERR Invalid replication flags."));
    assert_eq!(eval("return redis.replicate_commands()"), ":1\r\n");
}

#[test]
fn scripts_can_ask_what_they_may_do() {
    assert_eq!(
        eval("return {redis.acl_check_cmd('get', 'x'), redis.acl_check_cmd('set', 'x', 1)}"),
        "*2\r\n:1\r\n$-1\r\n"
    );
    assert_eq!(
        error_of(&eval("return redis.acl_check_cmd('nosuch')")),
        "Invalid command passed to server.acl_check_cmd()"
    );
}

#[test]
fn errors_are_tables_with_their_place() {
    let mut interpreter = interpreter();
    let mut host = TestHost::default();
    let mut answer = |source: &str| {
        let (sha1, _) = interpreter.prepare(source.as_bytes()).unwrap();
        let mut reply = resp::Reply::new();
        let answer = interpreter.run(sha1, &[], &[], &mut host, &mut reply);
        (answer, String::from_utf8(reply.into_vec()).unwrap())
    };
    use script::Answer::{CommandError, Error, Value};
    let cases = [
        ("return 1", Value, ":1\r\n"),
        (
            "return redis.call('nosuch')",
            CommandError,
            "-ERR Unknown command called from script script: on @user_script:1.\r\n",
        ),
        (
            "return redis.pcall('nosuch')",
            CommandError,
            "-ERR Unknown command called from script\r\n",
        ),
        (
            "return {redis.pcall('nosuch')}",
            Value,
            "*1\r\n-ERR Unknown command called from script\r\n",
        ),
        ("return {err = 'MY own'}", Error, "-MY own\r\n"),
        (
            "\nerror({err = 'MY own'})",
            Error,
            "-MY own script: on @user_script:2.\r\n",
        ),
        (
            "error('-x', 0)",
            Error,
            "-ERR -x script: on @user_script:1.\r\n",
        ),
        ("return redis.error_reply('-MY own')", Error, "-MY own\r\n"),
        (
            "local t = redis.pcall('nosuch') return t.err .. tostring(t.ignore_error_stats_update)",
            Value,
            "$42\r\nERR Unknown command called from scripttrue\r\n",
        ),
        (
            "local ok, e = pcall(redis.call, 'nosuch') return e",
            Value,
            "$38\r\nERR Unknown command called from script\r\n",
        ),
        (
            "local ok, e = xpcall(function() redis.call('nosuch') end, function(e) return type(e) end) return e",
            Value,
            "$5\r\ntable\r\n",
        ),
    ];
    for (source, expected, reply) in cases {
        assert_eq!(answer(source), (expected, reply.to_owned()), "{source}");
    }
}

#[test]
fn long_strings_make_ticks_come_after_fewer_instructions() {
    let mut interpreter = Interpreter::new(Settings::default()).unwrap();
    {
        let source = "local s = ('x'):rep(5e7) for i = 1, 50 do local t = s .. 'y' end return #s";
        let mut host = TestHost::default();
        let reply = eval_with(&mut interpreter, &mut host, source);
        assert!(reply.starts_with(':'), "{reply}");
        assert!(host.ticks > 5, "{source}: {} ticks", host.ticks);
    }
    let mut host = TestHost::default();
    eval_with(
        &mut interpreter,
        &mut host,
        "collectgarbage() for i = 1, 1000 do end",
    );
    eval_with(&mut interpreter, &mut host, "for i = 1, 100 do end");
    assert!(host.ticks < 100, "{} ticks", host.ticks);
}

#[test]
fn long_work_of_libraries_ticks_evenly() {
    let mut interpreter = Interpreter::new(Settings::default()).unwrap();
    let mut ticks = |source: &str| {
        let mut host = TestHost::default();
        let reply = eval_with(&mut interpreter, &mut host, source);
        assert!(!reply.starts_with('-'), "{source}: {reply}");
        host.ticks
    };
    for source in [
        "return #('x'):rep(2e7)",
        "return #cjson.encode(('x'):rep(1e7))",
        "return #cjson.encode(('\\0'):rep(5e6))",
        "return #cjson.decode('\"' .. ('x'):rep(1e7) .. '\"')",
        "return #cmsgpack.pack(('x'):rep(1e7), ('x'):rep(1e7))",
        "return #cmsgpack.unpack(cmsgpack.pack(('x'):rep(1e7)))",
        "return #struct.pack('ss', ('x'):rep(1e7), ('x'):rep(1e7))",
        "return #struct.unpack('s', ('x'):rep(1e7) .. '\\0')",
        "return #('x'):rep(1e6):gsub('x', 'yy')",
        "return #('x'):rep(1e6):gsub('.*', '%0%0%0%0%0%0%0%0%0%0%0%0')",
        "return ('x'):rep(1e6):find('%b()') == nil and 1",
        "return ('('):rep(3000):find('%b()') == nil and 1",
        "return ('x'):rep(3000):find('[' .. ('y'):rep(3000) .. ']') == nil and 1",
        "local t = {} for i = 1, 30000 do t[i] = i end return #table.concat(t, ',')",
        "local t = {} for i = 1, 30000 do t[i] = -i end table.sort(t) return t[1]",
        "local t = {} for i = 1, 30000 do t[i] = i end return #redis.call('raw', '*30000\\r\\n' .. (':1\\r\\n'):rep(30000))",
    ] {
        let own = ticks(source);
        assert!(own > 2, "{source}: {own} ticks");
    }
}
