-- Builds what scripts see.
--
-- `builtins` holds the real globals. Scripts get `globals`, which is empty but for KEYS and ARGV and falls back to
-- `builtins`; and instead of each library an empty table that falls back to the real one. So a script may change what it
-- likes, and afterwards emptying these few tables puts everything back for the next script.
local globals, native, load_guard = ...

local error, getfenv, next, pcall, rawset, select, setfenv = error, getfenv, next, pcall, rawset, select, setfenv
local setmetatable, tostring, type, xpcall = setmetatable, tostring, type, xpcall
local concat, create, resume = table.concat, coroutine.create, coroutine.resume

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

-- Which of the tables that scripts may write to were written to; and from each such table to the real one behind it.
local touched, behind = native.touched, native.behind

local function keep(t, name, value)
  touched[t], touched.any = true, true
  rawset(t, name, value)
end

local function in_front_of(real)
  local front = setmetatable({}, { __index = real, __newindex = keep, __metatable = false })
  behind[front] = real
  return front
end

-- KEYS and ARGV without elements. They are written to rarely, so the same tables serve every script.
local no_keys, no_arguments = in_front_of({}), in_front_of({})

local function put_back()
  native.undisturbed(true)
  touched.any = nil
  for t in next, touched do
    for name in next, t do
      t[name] = nil
    end
    touched[t] = nil
  end
  rawset(globals, "KEYS", no_keys)
  rawset(globals, "ARGV", no_arguments)
  native.undisturbed(false)
end

function native.pcall(...)
  if select("#", ...) == 0 then
    error("bad argument #1 to 'pcall' (value expected)", 2)
  end
  return settle(pcall(...))
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

function native.print(...)
  local parts = { ... }
  for i = 1, select("#", ...) do
    parts[i] = tostring(parts[i])
  end
  native.log(concat(parts, "\t"))
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
  local thread = create(f)
  return function(...)
    return pass_on(settle(resume(thread, ...)))
  end
end

for name, f in next, native.string do
  string[name] = f
end
string.gfind = string.gmatch
table.insert = native.table_insert
native.math_replace(math)

local libraries = {
  string = string,
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
local shown_meta = { __index = builtins.string }
string_meta.__metatable = setmetatable({}, {
  __index = shown_meta,
  __newindex = function()
    error("Attempt to modify a readonly table", 2)
  end,
  __metatable = false,
})
behind[string_meta.__metatable] = shown_meta

for name in next, globals do
  globals[name] = nil
end
behind[globals] = builtins
local guard, missing = load_guard(native.caller_kind, builtins, keep, native.find_script)
guard.__index = setmetatable(builtins, missing)
setmetatable(globals, guard)

rawset(globals, "KEYS", no_keys)
rawset(globals, "ARGV", no_arguments)

local on_error = native.on_error

return function(script, keys, arguments)
  globals.KEYS, globals.ARGV = keys or no_keys, arguments or no_arguments
  if getfenv(script) ~= globals then
    setfenv(script, globals)
  end
  local succeeded, result = xpcall(script, on_error)
  if touched.any then
    put_back()
  end
  return succeeded, result
end
