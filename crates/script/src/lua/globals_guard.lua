-- What happens when a script names a global that does not exist. Lines 8 and 15 are part of error texts: keep them.
local caller_kind, builtins, keep, find_script = ...
local guard, missing = { __metatable = false }, {}

-- Names that exist may be given other values; the script alone sees them, and they last as long as it runs.
guard.__newindex = function(globals, name, value)
  if rawget(builtins, name) == nil and name ~= "KEYS" and name ~= "ARGV" and caller_kind() == "Lua" then
    error("Script attempted to create global variable '" .. tostring(name) .. "'", 2)
  end
  keep(globals, name, value)
end

missing.__index = function(_, name)
  if caller_kind() ~= "C" then
    return find_script(name) or error("Script attempted to access unexisting global variable '" .. tostring(name) .. "'", 2)
  end
end

return guard, missing
