//! A table of field blocks.

use crate::block::Field;
use crate::table::{self, Entry, Table};

/// Sets `field`; whether it is new.
pub(super) fn set(table: &mut Table<Field>, field: &[u8], value: &[u8]) -> bool {
    match table.entry(table::hash(field), field) {
        Entry::Occupied(mut occupied) => {
            occupied.update(|mut item| {
                item.set_last(value);
                (item, ())
            });
            false
        }
        Entry::Vacant(vacant) => {
            vacant.insert(Field::new([], [field, value]));
            true
        }
    }
}
