//! For tests: captures what is logged.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

thread_local! {
    static LOG: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct ThisThread;

impl io::Write for ThisThread {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| log.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns what this thread logs during `work`, at the default level.
pub(crate) fn logged(work: impl FnOnce()) -> String {
    static SUBSCRIBED: Once = Once::new();
    // One subscriber for all threads. If only this thread had one, a message that another
    // thread logs first would be remembered by tracing as wanted by nobody.
    SUBSCRIBED.call_once(|| {
        let subscriber = tracing_subscriber::fmt().with_ansi(false);
        subscriber.with_writer(|| ThisThread).init();
    });
    LOG.take();
    work();
    String::from_utf8(LOG.take()).unwrap()
}
