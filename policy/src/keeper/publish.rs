//! Handing new lists to the thread that answers.

use std::sync::{PoisonError, RwLock};

use crate::lists::Lists;

/// Replaces a part of the lists; `replace` returns the old part.
pub(super) fn publish<T>(lists: &RwLock<Lists>, replace: impl FnOnce(&mut Lists) -> T) {
    let mut lists = lists.write().unwrap_or_else(PoisonError::into_inner);
    let old = replace(&mut lists);
    drop(lists);
    // Freed only after the lock: it can be large, and answers would wait for it.
    drop(old);
}
