//! Rows of the group "bitmap".

use crate::table::{DataFn, Group, Row, bitfield_keys, index, key, range, row};
use crate::{bitfield, bits};

pub(super) static ROWS: &[Row<DataFn>] = &[
    row("bitcount", -2, "readonly", Group::Bitmap)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args(
            "key:key0 range(start:int end-unit-block(end:int \
                unit@7.0.0{byte:token=BYTE bit:token=BIT}?)?)?",
        )
        .about("2.6.0", "Counts the bits set in a string or a range of it")
        .costs("O(N)")
        .run(bits::bitcount),
    row("bitop", -4, "write denyoom", Group::Bitmap)
        .keys(&[
            key("OW update", index(2), range(0, 1, 0)),
            key("RO access", index(3), range(-1, 1, 0)),
        ])
        .args(
            "operation{and:token=AND or:token=OR xor:token=XOR not:token=NOT} \
                destkey:key0 key:key1*",
        )
        .about("2.6.0", "Combines strings bit by bit into a key")
        .costs("O(N)")
        .run(bits::bitop),
    row("bitpos", -3, "readonly", Group::Bitmap)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args(
            "key:key0 bit:int range(start:int end-unit-block(end:int \
                unit@7.0.0{byte:token=BYTE bit:token=BIT}?)?)?",
        )
        .about("2.8.7", "Finds the first bit that is set or clear")
        .costs("O(N)")
        .run(bits::bitpos),
    row("getbit", 3, "readonly fast", Group::Bitmap)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 offset:int")
        .about("2.2.0", "Returns one bit of a string")
        .costs("O(1)")
        .run(bits::getbit),
    row("setbit", 4, "write denyoom", Group::Bitmap)
        .keys(&[key("RW access update", index(1), range(0, 1, 0))])
        .args("key:key0 offset:int value:int")
        .about("2.2.0", "Sets or clears one bit of a string")
        .costs("O(1)")
        .run(bits::setbit),
    row("bitfield", -2, "write denyoom", Group::Bitmap)
        .keys(&[key(
            "RW access update variable_flags",
            index(1),
            range(0, 1, 0),
        )])
        .key_finder(bitfield_keys)
        .args(
            "key:key0 operation{get-block=GET(encoding offset:int) \
                write(overflow-block=OVERFLOW{wrap:token=WRAP sat:token=SAT \
                fail:token=FAIL}? write-operation{set-block=SET(encoding offset:int \
                value:int) incrby-block=INCRBY(encoding offset:int increment:int)})}?*",
        )
        .about(
            "3.2.0",
            "Reads and writes integers of any width within a string",
        )
        .costs("O(1) for each operation")
        .run(bitfield::bitfield),
    row("bitfield_ro", -2, "readonly fast", Group::Bitmap)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 get-block=GET(encoding offset:int)?*+")
        .about("6.0.0", "Reads integers of any width within a string")
        .costs("O(1) for each operation")
        .run(bitfield::bitfield_ro),
];
