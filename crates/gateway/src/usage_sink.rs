//! The way out for metered calls: bounded, and reserved before a call is forwarded, so that no call goes unrecorded.

use domain::usage::Call;
use std::time::Duration;
use tokio::sync::mpsc;

/// Where the gateway puts metered calls; a cheap clone.
#[derive(Clone)]
pub struct UsageSink {
    sender: mpsc::Sender<Call>,
}

/// The other end, for whoever writes the calls down.
pub struct UsageReceiver {
    receiver: mpsc::Receiver<Call>,
    /// Received, not handed out yet: so that a cancelled [`UsageReceiver::next_batch`] loses nothing.
    pending: Vec<Call>,
}

/// A place in the channel, held by one call from before it is forwarded until it is recorded.
pub(crate) struct Slot(mpsc::OwnedPermit<Call>);

impl UsageSink {
    /// `capacity` (at least 1) bounds the calls under way plus those not yet taken out; beyond it calls are refused with 503.
    pub fn new(capacity: usize) -> (UsageSink, UsageReceiver) {
        let (sender, receiver) = mpsc::channel(capacity.max(1));
        (UsageSink { sender }, UsageReceiver { receiver, pending: Vec::new() })
    }

    /// None when the channel is full, or nobody listens any more.
    pub(crate) fn reserve(&self) -> Option<Slot> {
        self.sender.clone().try_reserve_owned().ok().map(Slot)
    }
}

impl Slot {
    pub(crate) fn record(self, call: Call) {
        self.0.send(call);
    }
}

impl UsageReceiver {
    /// Waits for a first call, then up to `wait` for more, and hands out at most `max` (at least 1), oldest first.
    /// Empty only when every gateway is gone and all was handed out. Cancelling it loses nothing.
    pub async fn next_batch(&mut self, max: usize, wait: Duration) -> Vec<Call> {
        let max = max.max(1);
        if self.pending.is_empty() && self.receiver.recv_many(&mut self.pending, max).await == 0 {
            return Vec::new();
        }
        let enough = tokio::time::sleep(wait);
        tokio::pin!(enough);
        while self.pending.len() < max {
            let room = max - self.pending.len();
            tokio::select! {
                biased;
                got = self.receiver.recv_many(&mut self.pending, room) => if got == 0 { break },
                () = &mut enough => break,
            }
        }
        self.hand_out(max)
    }

    /// Puts a batch that could not be written back to the front; the next batch begins with it. While it waits here the
    /// channel fills up and new calls are refused: nothing is lost silently.
    pub fn give_back(&mut self, batch: Vec<Call>) {
        self.pending.splice(0..0, batch);
    }

    /// All that is there now, without waiting: the last thing to write when the program stops.
    pub fn drain(&mut self) -> Vec<Call> {
        while let Ok(call) = self.receiver.try_recv() {
            self.pending.push(call);
        }
        std::mem::take(&mut self.pending)
    }

    fn hand_out(&mut self, max: usize) -> Vec<Call> {
        let rest = self.pending.split_off(max.min(self.pending.len()));
        std::mem::replace(&mut self.pending, rest)
    }
}
