-- Builds what scripts see.
--
-- No table that scripts share can be written to. `builtins` holds the real globals and the real libraries stand behind
-- `real`; scripts get empty tables in front of them, which fall back to the real ones and refuse writes. So the functions
-- that go past metatables (`rawset`, `next`, …) have to know of these fronts.
local globals, native, is_functions, is_insecure = ...

local error, next, pcall, rawget, rawset, select = error, next, pcall, rawget, rawset, select
local getfenv, setfenv = getfenv, setfenv
local getmetatable, setmetatable, tonumber, tostring, type, xpcall = getmetatable, setmetatable, tonumber, tostring, type, xpcall
local create, resume, unpack = coroutine.create, coroutine.resume, unpack
local concat, sort = table.concat, table.sort

local READ_ONLY = "Attempt to modify a readonly table"

-- Errors from functions written in Rust are objects. `plain` turns one into the value that a script may see, and raises
-- it again if the script has to stop. `visible` does the same but gives the object back instead of raising it.
local plain, visible = native.plain, native.visible

local function settle(succeeded, ...)
  if succeeded or type((...)) ~= "userdata" then
    return succeeded, ...
  end
  return false, plain((...))
end

-- From each front to the real table behind it; and to what `getmetatable` shows of it.
local behind, shown = native.behind, {}

local function refuse()
  error(READ_ONLY, 2)
end

local function in_front_of(real)
  local front = setmetatable({}, { __index = real, __newindex = refuse, __metatable = false })
  behind[front] = real
  return front
end

local function type_of_argument(...)
  return select("#", ...) == 0 and "no value" or type((...))
end

local function bad_argument(position, name, expected, ...)
  error("bad argument #" .. position .. " to '" .. name .. "' (" .. expected .. " expected, got " .. type_of_argument(...) .. ")", 3)
end

local function missing_argument(position, name)
  error("bad argument #" .. position .. " to '" .. name .. "' (value expected)", 3)
end

function native.rawset(...)
  local t, name, value = ...
  if type(t) ~= "table" then
    bad_argument(1, "rawset", "table", ...)
  end
  if select("#", ...) < 3 then
    missing_argument(select("#", ...) + 1, "rawset")
  end
  if behind[t] then
    error(READ_ONLY, 0)
  end
  return rawset(t, name, value)
end

function native.rawget(...)
  local t, name = ...
  if type(t) ~= "table" then
    bad_argument(1, "rawget", "table", ...)
  end
  if select("#", ...) < 2 then
    missing_argument(2, "rawget")
  end
  return rawget(behind[t] or t, name)
end

function native.next(...)
  local t, name = ...
  if type(t) ~= "table" then
    bad_argument(1, "next", "table", ...)
  end
  return next(behind[t] or t, name)
end

function native.pairs(...)
  local t = ...
  if type(t) ~= "table" then
    bad_argument(1, "pairs", "table", ...)
  end
  if behind[t] then
    local copy = {}
    for name, value in next, behind[t] do
      copy[name] = value
    end
    t = copy
  end
  return next, t, nil
end

function native.setmetatable(...)
  local t, meta = ...
  if type(t) ~= "table" then
    bad_argument(1, "setmetatable", "table", ...)
  end
  if select("#", ...) < 2 or meta ~= nil and type(meta) ~= "table" then
    error("bad argument #2 to 'setmetatable' (nil or table expected)", 2)
  end
  if behind[t] then
    error(READ_ONLY, 0)
  end
  return setmetatable(t, meta)
end

function native.getmetatable(...)
  if select("#", ...) == 0 then
    error("bad argument #1 to 'getmetatable' (value expected)", 2)
  end
  local value = ...
  if type(value) == "table" and behind[value] then
    return shown[value]
  end
  return getmetatable(value)
end

-- Lua 5.1 counts the elements in 32 bits.
function native.unpack(...)
  local t, first, last = ...
  if type(t) ~= "table" then
    bad_argument(1, "unpack", "table", ...)
  end
  local i, j = first == nil and 1 or tonumber(first), last == nil and #t or tonumber(last)
  if i and j and not (j - i < 8000 and i >= -2147483648 and i <= 2147483647 and j >= -2147483648 and j <= 2147483647) then
    error("too many results to unpack", 2)
  end
  if not i then
    bad_argument(2, "unpack", "number", first)
  elseif not j then
    bad_argument(3, "unpack", "number", last)
  end
  -- What the caller left out takes no place on the stack.
  return unpack(...)
end

function native.pcall(...)
  if select("#", ...) == 0 then
    return false, "attempt to call a boolean value"
  end
  return native.settle_text(settle(pcall(...)))
end

-- What a command answered is a table for `error`, and its text for `pcall`, as it was in older versions.
function native.settle_text(succeeded, ...)
  if succeeded or type((...)) ~= "table" then
    return succeeded, ...
  end
  local text = rawget(..., "err")
  if type(text) == "string" or type(text) == "number" then
    return false, text
  end
  return false, ...
end

function native.xpcall(f, ...)
  if select("#", ...) == 0 then
    error("bad argument #2 to 'xpcall' (value expected)", 2)
  end
  local handler = ...
  return settle(xpcall(f, function(e)
    if type(e) == "userdata" then
      e = visible(e)
      if type(e) == "userdata" then
        return e
      end
    end
    return handler(e)
  end))
end

local function pass_on(succeeded, ...)
  if succeeded then
    return ...
  end
  -- 1 is this function, 2 the one that it took the place of, 3 who resumed.
  error(..., 3)
end

native.coroutine = {}
for name, f in next, coroutine do
  native.coroutine[name] = f
end

function native.coroutine.resume(thread, ...)
  if type(thread) ~= "thread" then
    error("bad argument #1 to 'resume' (coroutine expected)", 2)
  end
  return settle(resume(thread, ...))
end

function native.coroutine.wrap(f)
  local succeeded, thread = pcall(create, f)
  if not succeeded then
    error("bad argument #1 to 'wrap' (Lua function expected)", 2)
  end
  return function(...)
    return pass_on(settle(resume(thread, ...)))
  end
end

-- Elements that `table.concat` and `table.sort` handle at once, without a tick.
local PIECE = 10000
local tick, less = native.tick, native.less

function table.concat(...)
  local t, between, first, last = ...
  if between ~= nil and type(between) ~= "string" and type(between) ~= "number" then
    bad_argument(2, "concat", "string", between)
  end
  if type(t) ~= "table" then
    bad_argument(1, "concat", "table", ...)
  end
  if first ~= nil and not tonumber(first) then
    bad_argument(3, "concat", "number", first)
  end
  if last ~= nil and not tonumber(last) then
    bad_argument(4, "concat", "number", last)
  end
  local i, j = tonumber(first or 1), tonumber(last or #t)
  if not (i and j and j - i >= PIECE) then
    local succeeded, text = pcall(concat, t, between, first, last)
    if not succeeded then
      error(plain(text), 2)
    end
    return text
  end
  local pieces = {}
  for start = i, j, PIECE do
    local stop = start + PIECE - 1
    local succeeded, text = pcall(concat, t, between, start, stop < j and stop or j)
    if not succeeded then
      error(plain(text), 2)
    end
    pieces[#pieces + 1] = text
    tick()
  end
  return concat(pieces, between)
end

function table.sort(...)
  local t, before = ...
  if type(t) ~= "table" then
    bad_argument(1, "sort", "table", ...)
  end
  if before ~= nil and type(before) ~= "function" then
    bad_argument(2, "sort", "function", before)
  end
  if before == nil and #t > PIECE then
    before = less
  end
  local succeeded, complaint = pcall(sort, t, before)
  if not succeeded then
    -- What a comparison raised has its position, or has none.
    error(complaint, complaint == "invalid order function for sorting" and 2 or 0)
  end
end

for name, f in next, native.string do
  string[name] = f
end
string.gfind = string.gmatch
table.insert = native.table_insert
native.math_replace(math)

local server = in_front_of(native.server)
local builtins = {
  string = in_front_of(string),
  table = in_front_of(table),
  math = in_front_of(math),
  coroutine = in_front_of(native.coroutine),
  os = in_front_of({ clock = native.clock }),
  server = server,
  redis = server,
  cjson = in_front_of(native.cjson),
  cmsgpack = in_front_of(native.cmsgpack),
  struct = in_front_of(native.struct),
  bit = in_front_of(native.bit),
  _G = globals,
}

-- Of the base library; the rest of what Lua offers stays out.
for _, name in next, {
  "_VERSION", "assert", "error", "gcinfo", "ipairs", "rawequal", "select", "tonumber", "tostring", "type",
} do
  builtins[name] = globals[name]
end
for _, name in next, {
  "collectgarbage", "getmetatable", "load", "loadstring", "next", "pairs", "pcall", "rawget", "rawset", "setmetatable",
  "unpack", "xpcall",
} do
  builtins[name] = native[name]
end
if is_insecure then
  builtins.getfenv, builtins.setfenv = getfenv, setfenv
end
if not is_functions then
  builtins.__server__err__handler = native.on_error
  builtins.__redis__err__handler = native.on_error
end

-- Methods of strings. Of the metatable itself a copy is shown.
local string_meta = getmetatable("")
string_meta.__index = string
string_meta.__metatable = in_front_of({ __index = builtins.string })

local function missing(_, name)
  if type(name) ~= "string" and type(name) ~= "number" then
    error("Second argument to luaProtectedTableError must be a string or number", 2)
  end
  error("Script attempted to access nonexistent global variable '" .. name .. "'", 2)
end

for name in next, globals do
  globals[name] = nil
end
setmetatable(builtins, { __index = missing })
local guard = { __index = builtins, __newindex = refuse, __metatable = false }
setmetatable(globals, guard)
behind[globals] = builtins
shown[globals] = in_front_of({ __index = is_functions and globals or missing })

-- What a library finds while it is loaded.
local globals_while_loading
if is_functions then
  setmetatable(native.loading, { __index = missing })
  local loading = in_front_of(native.loading)
  globals_while_loading = setmetatable({ server = loading, redis = loading }, { __index = missing })
end

return guard, builtins, globals_while_loading
