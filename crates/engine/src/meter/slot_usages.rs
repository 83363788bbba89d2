//! What the slots of a node are used for. What counts for which is in `slot_usage.rs`.

use cluster_bus::{SLOT_COUNT, Slot, SlotUsage};

/// The counters of all slots; none while nobody wants them.
#[derive(Debug, Default)]
pub(crate) struct SlotUsages(Option<Box<[SlotUsage]>>);

impl SlotUsages {
    /// Begins, goes on or ends counting.
    pub(crate) fn enable(&mut self, on: bool) {
        if !on {
            self.0 = None;
        } else if self.0.is_none() {
            self.0 = Some(vec![SlotUsage::default(); usize::from(SLOT_COUNT)].into());
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn of(&self, slot: Slot) -> Option<SlotUsage> {
        let all = self.0.as_deref()?;
        all.get(slot.index()).copied()
    }

    pub(crate) fn of_mut(&mut self, slot: Slot) -> Option<&mut SlotUsage> {
        self.0.as_deref_mut()?.get_mut(slot.index())
    }

    /// Counts all slots anew.
    pub(crate) fn reset(&mut self) {
        if let Some(all) = &mut self.0 {
            all.fill(SlotUsage::default());
        }
    }
}
