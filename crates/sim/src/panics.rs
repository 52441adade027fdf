//! Panics of a run, wherever they happen: tokio swallows those of a task, and the gateway catches those of a request.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// What panicked on this thread since a run began; `None` when none is under way.
    static SEEN: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Does `work` and returns its panics, all of them, in order. Other threads and times are left alone.
pub(crate) fn watch(work: impl FnOnce()) -> Vec<String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            let watched = SEEN.with_borrow_mut(|seen| match seen {
                Some(seen) => {
                    seen.push(info.to_string().replace('\n', " "));
                    true
                }
                None => false,
            });
            if !watched {
                before(info);
            }
        }));
    });
    SEEN.set(Some(Vec::new()));
    // The hook has written down what there is to know.
    drop(catch_unwind(AssertUnwindSafe(work)));
    SEEN.take().unwrap_or_default()
}

/// Notes something that is as bad as a panic.
pub(crate) fn note(text: String) {
    SEEN.with_borrow_mut(|seen| seen.get_or_insert_default().push(text));
}
