//! Lines of the log about what strangers can bring about as often as they like: at most one in ten seconds.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::sleep;

/// Time between two lines.
const INTERVAL: Duration = Duration::from_secs(10);

/// Counts events of one kind, and says how many there were and what the last one was about.
pub struct Tally {
    untold: Arc<Mutex<Untold>>,
    say: fn(u64, &str),
}

#[derive(Default)]
struct Untold {
    count: u64,
    last: String,
    /// Somebody says it in time.
    has_teller: bool,
}

impl Tally {
    /// `say` writes the line.
    pub fn new(say: fn(u64, &str)) -> Self {
        Self { untold: Arc::default(), say }
    }

    /// Counts one event.
    pub fn count(&self, about: String) {
        let mut untold = self.untold.lock();
        untold.count += 1;
        untold.last = about;
        if !untold.has_teller {
            untold.has_teller = true;
            drop(tokio::spawn(tell(Arc::clone(&self.untold), self.say)));
        }
    }
}

/// Says what there is to say, the first at once, until nothing has happened for the time between two lines.
async fn tell(untold: Arc<Mutex<Untold>>, say: fn(u64, &str)) {
    loop {
        let (count, last) = {
            let mut untold = untold.lock();
            if untold.count == 0 {
                untold.has_teller = false;
                return;
            }
            (std::mem::take(&mut untold.count), std::mem::take(&mut untold.last))
        };
        say(count, &last);
        sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static SAID: Mutex<Vec<(u64, String)>> = Mutex::new(Vec::new());

    #[tokio::test(start_paused = true)]
    async fn many_events_are_one_line_in_ten_seconds() {
        let tally = Tally::new(|count, last| SAID.lock().push((count, last.to_owned())));
        for event in 0..10_000 {
            tally.count(event.to_string());
            if event == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }
        assert_eq!(SAID.lock().len(), 1, "the first is told at once, the others later");
        sleep(2 * INTERVAL).await;
        tally.count("later".to_owned());
        sleep(INTERVAL).await;
        let said = [(1, "0"), (9_999, "9999"), (1, "later")].map(|(count, last)| (count, last.to_owned()));
        assert_eq!(*SAID.lock(), said);
    }
}
