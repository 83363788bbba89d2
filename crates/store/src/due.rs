//! [`Due`]: what is to come at which time, in few bytes for each.
//!
//! A thing is known by its *mark*, some bits of its hash: with them its owner finds it again in a [`crate::table::Table`], and sees
//! there when it is due. So only marks are kept, in runs of some hundred. A run has the things from its own key (a time and a mark) up to
//! the next run's, and in it marks are sorted by themselves. When a run is divided or looked through, the owner is asked for the times:
//! it calls back for each thing with this mark, and so for each that is in the index.

use std::collections::BTreeMap;

/// A run with more marks is divided.
const RUN_MAX: usize = if cfg!(test) { 64 } else { 256 };

/// The marks of things, by the time when they are due.
#[derive(Clone)]
pub(crate) struct Due<M> {
    /// The first run lies here, so that a few things need no tree.
    first: Option<(Key<M>, Run<M>)>,
    rest: BTreeMap<Key<M>, Run<M>>,
}

type Key<M> = (u64, M);

#[derive(Clone)]
struct Run<M> {
    marks: Vec<M>,
    /// Nothing in it is due later.
    latest: u64,
}

impl<M> Default for Due<M> {
    fn default() -> Self {
        Self {
            first: None,
            rest: BTreeMap::new(),
        }
    }
}

impl<M: Copy + Ord> Due<M> {
    /// Whether nothing is in it.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Nothing is due earlier.
    pub(crate) fn floor(&self) -> Option<u64> {
        self.first.as_ref().map(|((at, _), _)| *at)
    }

    /// Heap memory, bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        let runs = self.rest.values();
        let first = self.first.as_ref().map(|(_, run)| run);
        let marks: usize = runs.chain(first).map(|run| run.marks.capacity()).sum();
        marks * size_of::<M>() + 2 * self.rest.len() * size_of::<(Key<M>, Run<M>)>()
    }

    /// Adds a thing, which its owner finds by its mark from now on. `times` is asked for the times of all with a mark.
    pub(crate) fn insert(&mut self, at: u64, mark: M, times: impl Fn(M, &mut dyn FnMut(u64))) {
        let key = (at, mark);
        let fresh = || Run {
            marks: vec![mark],
            latest: at,
        };
        let Some((first, _)) = &mut self.first else {
            self.first = Some((key, fresh()));
            return;
        };
        *first = key.min(*first);
        let is_last = match self.rest.last_key_value() {
            Some((last, _)) => *last <= key,
            None => true,
        };
        let (begin, run) = self.run_of(key);
        if is_last && run.marks.len() >= RUN_MAX && at > run.latest {
            // Times mostly rise: a run that is full then stays so.
            run.marks.shrink_to_fit();
            self.rest.insert(key, fresh());
            return;
        }
        let place = run.marks.partition_point(|other| *other < mark);
        run.marks.insert(place, mark);
        run.latest = run.latest.max(at);
        if run.marks.len() > RUN_MAX {
            self.divide(begin, times);
        }
    }

    /// Takes a thing out; whether it was there.
    pub(crate) fn remove(&mut self, at: u64, mark: M) -> bool {
        if self
            .first
            .as_ref()
            .is_none_or(|(first, _)| (at, mark) < *first)
        {
            return false;
        }
        let (begin, run) = self.run_of((at, mark));
        let Ok(place) = run.marks.binary_search(&mark) else {
            return false;
        };
        run.marks.remove(place);
        if run.marks.len() < RUN_MAX / 4 {
            self.merge(begin);
        }
        true
    }

    /// The run in which a key is or would be, and the key where it begins.
    fn run_of(&mut self, key: Key<M>) -> (Key<M>, &mut Run<M>) {
        if let Some((begin, run)) = self.rest.range_mut(..=key).next_back() {
            return (*begin, run);
        }
        let (begin, run) = self.first.as_mut().expect("the caller has seen one");
        (*begin, run)
    }

    /// Where the run ends that begins here: at the next one.
    fn end_of(&self, begin: Key<M>) -> Option<Key<M>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let mut behind = self.rest.range((Excluded(begin), Unbounded));
        behind.next().map(|(key, _)| *key)
    }

    /// The keys of all things in a run, sorted.
    fn keys(
        marks: &[M],
        begin: Key<M>,
        end: Option<Key<M>>,
        times: impl Fn(M, &mut dyn FnMut(u64)),
    ) -> Vec<Key<M>> {
        let mut keys = Vec::with_capacity(marks.len());
        let mut marks = marks.to_vec();
        marks.dedup();
        for mark in marks {
            times(mark, &mut |at| {
                let key = (at, mark);
                if key >= begin && end.is_none_or(|end| key < end) {
                    keys.push(key);
                }
            });
        }
        keys.sort_unstable();
        keys
    }

    fn divide(&mut self, begin: Key<M>, times: impl Fn(M, &mut dyn FnMut(u64))) {
        let end = self.end_of(begin);
        let (_, run) = self.run_of(begin);
        let keys = if begin.0 == run.latest {
            run.marks.iter().map(|mark| (begin.0, *mark)).collect()
        } else {
            Self::keys(&run.marks, begin, end, times)
        };
        debug_assert_eq!(keys.len(), run.marks.len());
        let Some(lowest) = keys.first().copied() else {
            return;
        };
        let middle = keys[keys.len() / 2];
        let middle = if middle > lowest {
            keys.partition_point(|key| *key < middle)
        } else {
            keys.partition_point(|key| *key <= lowest)
        };
        // Where all are alike the run grows on.
        let Some(from) = keys.get(middle).copied() else {
            return;
        };
        *run = Run::of(&keys[..middle]);
        self.rest.insert(from, Run::of(&keys[middle..]));
    }

    /// Puts a run with few marks together with the next one, or drops it where it has none.
    fn merge(&mut self, begin: Key<M>) {
        let next = self.end_of(begin);
        let next_len = next.and_then(|next| self.rest.get(&next));
        let next_len = next_len.map(|run| run.marks.len());
        let (_, run) = self.run_of(begin);
        if run.marks.is_empty() {
            if self.rest.remove(&begin).is_none() {
                self.first = self.rest.pop_first();
            }
            return;
        }
        if next_len.is_some_and(|len| len + run.marks.len() <= RUN_MAX / 2)
            && let Some(other) = next.and_then(|next| self.rest.remove(&next))
        {
            let (_, run) = self.run_of(begin);
            run.marks.extend(other.marks);
            run.marks.sort_unstable();
            run.marks.shrink_to(RUN_MAX / 2);
            run.latest = run.latest.max(other.latest);
        }
    }

    /// Takes up to `most` things out that are due before `now`, earliest first, and answers their marks: each stands for the earliest thing
    /// with it that was not taken yet. Where it answers less than
    /// `most`, nothing else is due and [`Due::floor`] is exact.
    pub(crate) fn take(
        &mut self,
        now: u64,
        most: usize,
        times: impl Fn(M, &mut dyn FnMut(u64)),
    ) -> Vec<M> {
        let mut taken = Vec::new();
        while taken.len() < most {
            let end = self.rest.first_key_value().map(|(key, _)| *key);
            let Some((begin, run)) = &mut self.first else {
                break;
            };
            let left = most - taken.len();
            if run.latest < now {
                let keep = run.marks.len().saturating_sub(left);
                taken.extend(run.marks.drain(keep..));
            } else {
                let keys = Self::keys(&run.marks, *begin, end, &times);
                let due = keys.partition_point(|(at, _)| *at < now).min(left);
                taken.extend(keys[..due].iter().map(|(_, mark)| *mark));
                if let Some(lowest) = keys.get(due) {
                    *begin = *lowest;
                }
                *run = Run::of(&keys[due..]);
                if !run.marks.is_empty() {
                    break;
                }
            }
            if run.marks.is_empty() {
                self.first = self.rest.pop_first();
            }
        }
        taken
    }
}

impl<M: Copy + Ord> Run<M> {
    fn of(keys: &[Key<M>]) -> Self {
        let mut marks: Vec<M> = keys.iter().map(|(_, mark)| *mark).collect();
        marks.sort_unstable();
        Self {
            marks,
            latest: keys.last().map_or(0, |(at, _)| *at),
        }
    }
}

impl<M> std::fmt::Debug for Due<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Due")
            .field(
                "runs",
                &(self.rest.len() + usize::from(self.first.is_some())),
            )
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::{amount, cases};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Things by number; the mark is the number without its low bits, so that some have the same.
    type Things = BTreeMap<u16, u64>;

    fn times(things: &Things) -> impl Fn(u16, &mut dyn FnMut(u64)) {
        |mark, tell| {
            things
                .iter()
                .filter(|(number, _)| **number / 2 == mark)
                .for_each(|(_, at)| tell(*at));
        }
    }

    proptest! {
        #![proptest_config(cases(200, 4))]
        #[test]
        fn is_a_set_of_times(
            steps in prop::collection::vec(
                (0_u8..10, any::<u16>(), prop_oneof![1_u64..6, 1_u64..1000]),
                1..amount(600, 80),
            ),
        ) {
            let (mut due, mut things) = (Due::default(), Things::new());
            for (what, number, at) in steps {
                let number = number % 500;
                match what {
                    0..7 => {
                        if let Some(old) = things.insert(number, at) {
                            prop_assert!(due.remove(old, number / 2));
                        }
                        due.insert(at, number / 2, times(&things));
                    }
                    7 | 8 => {
                        let old = things.remove(&number);
                        prop_assert_eq!(old.is_some(), old.is_some_and(|old| due.remove(old, number / 2)));
                    }
                    _ => {
                        let most = usize::from(number) + 1;
                        let taken = due.take(at, most, times(&things));
                        let is_due = things.values().filter(|due| **due < at).count();
                        prop_assert_eq!(taken.len(), is_due.min(most));
                        for mark in taken {
                            let alike = things.iter().filter(|(n, _)| **n / 2 == mark);
                            let found = alike.min_by_key(|(_, due)| **due);
                            let found = found.filter(|(_, due)| **due < at).map(|(n, _)| *n);
                            prop_assert!(found.is_some_and(|n| things.remove(&n).is_some()));
                        }
                        if is_due < most {
                            prop_assert_eq!(due.floor(), things.values().min().copied());
                        }
                    }
                }
                prop_assert_eq!(due.is_empty(), things.is_empty());
                let lowest = things.values().min();
                prop_assert!(due.floor().zip(lowest).is_none_or(|(floor, lowest)| floor <= *lowest));
            }
        }
    }

    #[test]
    fn rising_times_fill_the_runs() {
        let mut due = Due::<u32>::default();
        let count = amount(10_000_u32, 200);
        for n in 0..count {
            due.insert(u64::from(n), n.wrapping_mul(0x9e37_79b9), |_, _| ());
        }
        assert!(due.heap_bytes() < 16 * count as usize);
        let taken = due.take(u64::MAX, usize::MAX, |_, _| ());
        assert_eq!(taken.len(), count as usize);
        assert!(due.is_empty());
    }
}
