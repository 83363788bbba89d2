//! Whether a full copy may take the place of the data that are here.
//!
//! A primary that comes back without its data (no persistence, a wiped disk) offers its replicas a copy of nothing. It is told apart by
//! its stream, which has begun anew: the name is another one, and the offset is behind ours although we have followed it. Such a copy is
//! refused for a time, in which somebody can elect a replica that has the data. An operator who names the primary is never refused.

use crate::Place;

/// While a copy is refused the primary is asked again after so long. Milliseconds.
const RETRY_MS: u64 = 5000;
/// A copy with fewer than one in so many of our keys is one without the data.
const FEWEST: u64 = 10;

/// What is to take the place of our data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The stream that the copy belongs to, and where in it the copy stands; none for a primary that knows no PSYNC.
    pub place: Option<Place>,
    /// How many keys the copy holds.
    pub keys: u64,
}

/// What is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The place in the stream at which our data stand; none where they are of no stream.
    pub place: Option<Place>,
    /// How many keys there are.
    pub keys: u64,
}

/// What becomes of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It takes the place of the data.
    Take,
    /// The same, although it has not got them: the time is over.
    Yield,
    /// It is refused, for the first time or once more.
    Refuse {
        /// For the first time.
        first: bool,
        /// For so long still. Milliseconds.
        left_ms: u64,
    },
}

/// The watch over the data of one replica of one primary.
#[derive(Debug, Default)]
pub struct Guard {
    /// The stream of this primary was followed: our data are its own.
    followed: bool,
    /// Since when its copies are refused. Milliseconds.
    since_ms: Option<u64>,
    /// When it is asked again. Milliseconds.
    next_ms: u64,
    /// An operator wants the copy.
    overruled: bool,
}

impl Guard {
    /// `followed`: our data are known to be those of the primary.
    #[must_use]
    pub fn new(followed: bool) -> Self {
        Self {
            followed,
            ..Self::default()
        }
    }

    /// The stream of the primary is followed.
    pub fn follow(&mut self) {
        *self = Self::new(true);
    }

    /// An operator names the primary once more: its next copy is taken, whatever it holds. Whether copies were refused.
    pub fn overrule(&mut self) -> bool {
        self.overruled = self.since_ms.is_some();
        self.next_ms = 0;
        self.overruled
    }

    /// Judges a copy.
    pub fn judge(&mut self, now_ms: u64, grace_ms: u64, here: &Holding, offer: &Offer) -> Verdict {
        if grace_ms == 0 || self.overruled || !self.lacks_data(here, offer) {
            return Verdict::Take;
        }
        let first = self.since_ms.is_none();
        let since_ms = *self.since_ms.get_or_insert(now_ms);
        let left_ms = since_ms.saturating_add(grace_ms).saturating_sub(now_ms);
        if left_ms == 0 {
            return Verdict::Yield;
        }
        self.next_ms = now_ms.saturating_add(RETRY_MS.min(left_ms));
        Verdict::Refuse { first, left_ms }
    }

    fn lacks_data(&self, here: &Holding, offer: &Offer) -> bool {
        let fewer = here.keys > 0 && offer.keys.saturating_mul(FEWEST) < here.keys;
        let (Some((ours, at)), Some((theirs, offered))) = (&here.place, &offer.place) else {
            return false;
        };
        // Once it is known to have begun anew, what it writes from there on changes nothing.
        let anew = self.since_ms.is_some() || offered < at;
        self.followed && fewer && ours != theirs && anew
    }

    /// For how long copies are still refused; none while they are not. Milliseconds.
    #[must_use]
    pub fn left_ms(&self, now_ms: u64, grace_ms: u64) -> Option<u64> {
        let since_ms = self.since_ms.filter(|_| !self.overruled)?;
        let left_ms = since_ms.saturating_add(grace_ms).saturating_sub(now_ms);
        (left_ms > 0).then_some(left_ms)
    }

    /// Whether the primary, whose copy was refused, is not to be asked yet.
    #[must_use]
    pub fn waits(&self, now_ms: u64, grace_ms: u64) -> bool {
        now_ms < self.next_ms && self.left_ms(now_ms, grace_ms).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE_MS: u64 = 60_000;

    fn place(name: &str, offset: u64) -> Option<Place> {
        Some((name.to_owned(), offset))
    }

    fn here() -> Holding {
        Holding {
            place: place("old", 1000),
            keys: 100,
        }
    }

    fn empty() -> Offer {
        Offer {
            place: place("new", 0),
            keys: 0,
        }
    }

    fn judge(guard: &mut Guard, now_ms: u64, offer: &Offer) -> Verdict {
        guard.judge(now_ms, GRACE_MS, &here(), offer)
    }

    #[test]
    fn an_empty_copy_of_a_primary_that_was_followed_is_refused_for_a_time() {
        let mut guard = Guard::new(false);
        guard.follow();
        let refused = |first, left_ms| Verdict::Refuse { first, left_ms };
        assert_eq!(judge(&mut guard, 5, &empty()), refused(true, GRACE_MS));
        assert!(guard.waits(5 + RETRY_MS - 1, GRACE_MS));
        assert!(!guard.waits(5 + RETRY_MS, GRACE_MS));
        // It goes on writing, and has soon written more than it ever had.
        let busy = Offer {
            place: place("new", 5000),
            keys: 9,
        };
        assert_eq!(judge(&mut guard, 10_005, &busy), refused(false, 50_000));
        assert_eq!(guard.left_ms(10_005, GRACE_MS), Some(50_000));
        assert_eq!(judge(&mut guard, 60_005, &busy), Verdict::Yield);
        assert_eq!(guard.left_ms(60_005, GRACE_MS), None);
    }

    #[test]
    fn a_copy_with_the_data_is_taken_even_after_one_without() {
        let mut guard = Guard::new(true);
        assert!(matches!(
            judge(&mut guard, 0, &empty()),
            Verdict::Refuse { .. }
        ));
        let whole = Offer {
            keys: 10,
            ..empty()
        };
        assert_eq!(judge(&mut guard, 9, &whole), Verdict::Take);
    }

    #[test]
    fn what_is_no_loss_is_taken_at_once() {
        let taken = |followed, here: Holding, offer: Offer| {
            let verdict = Guard::new(followed).judge(0, GRACE_MS, &here, &offer);
            assert_eq!(verdict, Verdict::Take, "{here:?} {offer:?}");
        };
        // Somebody else's data, and none.
        taken(false, here(), empty());
        taken(true, Holding { keys: 0, ..here() }, empty());
        taken(
            true,
            Holding {
                place: None,
                ..here()
            },
            empty(),
        );
        // The stream goes on: its primary was emptied by a command, or is an old one that tells no place.
        let same = place("old", 999);
        taken(
            true,
            here(),
            Offer {
                place: same,
                keys: 0,
            },
        );
        let ahead = place("new", 1000);
        taken(
            true,
            here(),
            Offer {
                place: ahead,
                keys: 0,
            },
        );
        taken(
            true,
            here(),
            Offer {
                place: None,
                keys: 0,
            },
        );
    }

    #[test]
    fn an_operator_is_not_refused() {
        let verdict = Guard::new(true).judge(0, 0, &here(), &empty());
        assert_eq!(verdict, Verdict::Take);
        let mut guard = Guard::new(true);
        assert!(!guard.overrule());
        judge(&mut guard, 0, &empty());
        assert!(guard.overrule());
        assert!(!guard.waits(1, GRACE_MS));
        assert_eq!(guard.left_ms(1, GRACE_MS), None);
        assert_eq!(judge(&mut guard, 1, &empty()), Verdict::Take);
        // Once it is followed, it is watched again.
        guard.follow();
        assert!(matches!(
            judge(&mut guard, 2, &empty()),
            Verdict::Refuse { .. }
        ));
    }
}
