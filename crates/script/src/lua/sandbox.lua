-- Builds what scripts see.
--
-- `builtins` holds the real globals. Scripts get `globals`, which is empty but for KEYS and ARGV and falls back to
-- `builtins`; and instead of each library an empty table that falls back to the real one. So a script may change what it
-- likes, and afterwards emptying these few tables puts everything back for the next script.
local globals, native, load_guard = ...

local error, getfenv, next, pcall, rawset, select, setfenv = error, getfenv, next, pcall, rawset, select, setfenv
local setmetatable, tostring, type, xpcall = setmetatable, tostring, type, xpcall
local create, resume = coroutine.create, coroutine.resume
local concat, format = table.concat, string.format
local collect = collectgarbage
local real_string = string

-- Errors from functions written in Rust are objects. `plain` turns one into the string that a script may see, and raises
-- it again if the script has to stop. `visible` does the same but gives the object back instead of raising it.
local plain, visible = native.plain, native.visible

local function settle(succeeded, ...)
  if succeeded or type((...)) ~= "userdata" then
    return succeeded, ...
  end
  return false, plain((...))
end

local builtins = {}

-- Which of the tables that scripts may write to were written to.
local touched = {}

-- From each such table to the real one behind it.
local behind = setmetatable({}, { __mode = "k" })

local function keep(t, name, value)
  touched[t] = true
  rawset(t, name, value)
end

local function in_front_of(real)
  local front = setmetatable({}, { __index = real, __newindex = keep, __metatable = false })
  behind[front] = real
  return front
end

-- All that a script can find in a table: what it wrote there over what was there.
local function merged(front)
  local all = {}
  for name, value in next, behind[front] do
    all[name] = value
  end
  for name, value in next, front do
    all[name] = value
  end
  return all
end

local function put_back()
  for t in next, touched do
    for name in next, t do
      t[name] = nil
    end
    touched[t] = nil
  end
end

function native.pcall(...)
  return settle(pcall(...))
end

function native.xpcall(f, handler)
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

function native.pairs(t)
  if behind[t] then
    t = merged(t)
  elseif type(t) ~= "table" then
    error(format("bad argument #1 to 'pairs' (table expected, got %s)", type(t)), 2)
  end
  return next, t, nil
end

function native.rawset(t, name, value)
  if type(t) ~= "table" then
    error(format("bad argument #1 to 'rawset' (table expected, got %s)", type(t)), 2)
  elseif name == nil then
    error("table index is nil", 2)
  end
  if behind[t] then
    touched[t] = true
  end
  return rawset(t, name, value)
end

function native.print(...)
  local parts = { ... }
  for i = 1, select("#", ...) do
    parts[i] = tostring(parts[i])
  end
  native.log(concat(parts, "\t"))
end

-- The collector's pace is the server's.
local paces = { stop = 0, restart = 0, setpause = 200, setstepmul = 200 }

function native.collectgarbage(option, argument)
  if option == nil then
    option = "collect"
  end
  if paces[option] then
    return paces[option]
  elseif option ~= "collect" and option ~= "count" and option ~= "step" then
    error(format("bad argument #1 to 'collectgarbage' (invalid option '%s')", tostring(option)), 2)
  end
  return collect(option, argument)
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

function native.coroutine.resume(...)
  return settle(resume(...))
end

function native.coroutine.wrap(f)
  local thread = create(f)
  return function(...)
    return pass_on(settle(resume(thread, ...)))
  end
end

for name, f in next, native.string or {} do
  real_string[name] = f
end
real_string.gfind = real_string.gmatch
table.insert = native.table_insert or table.insert
native.math_replace(math)

local libraries = {
  string = real_string,
  table = table,
  math = math,
  coroutine = native.coroutine,
  redis = native.redis,
  cjson = native.cjson,
  cmsgpack = native.cmsgpack,
  struct = native.struct,
  bit = native.bit,
}

-- Of the base library; the rest of what Lua offers stays out.
local base = {
  "_VERSION", "assert", "error", "gcinfo", "getfenv", "getmetatable", "ipairs", "next", "rawequal", "rawget", "select",
  "setfenv", "setmetatable", "tonumber", "tostring", "type", "unpack",
}
local own = {
  "collectgarbage", "load", "loadstring", "pairs", "pcall", "print", "rawset", "xpcall",
}

for _, name in next, base do
  builtins[name] = globals[name]
end
for _, name in next, own do
  builtins[name] = native[name]
end
for name, library in next, libraries do
  builtins[name] = in_front_of(library)
end
builtins._G = globals

-- Methods of strings are found through the library's front. The metatable itself stays out of reach.
local string_meta = getmetatable("")
string_meta.__index = builtins.string
string_meta.__metatable = setmetatable({}, {
  __index = { __index = builtins.string },
  __newindex = function()
    error("Attempt to modify a readonly table", 2)
  end,
  __metatable = false,
})

for name in next, globals do
  globals[name] = nil
end
behind[globals] = builtins
local guard, missing = load_guard(native.caller_kind, builtins, keep, native.find_script)
guard.__index = setmetatable(builtins, missing)
setmetatable(globals, guard)

local on_error = native.on_error

local function finish(...)
  if next(touched) then
    put_back()
  end
  return ...
end

return function(script)
  if getfenv(script) ~= globals then
    setfenv(script, globals)
  end
  return finish(xpcall(script, on_error))
end
