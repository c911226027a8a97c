//! Who may have a connection: so many in all, and so many from one address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Why a connection is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Full {
    /// The portal has as many as it can.
    All,
    /// This address has as many as it may.
    Address,
}

/// Counts connections. The table holds addresses with connections only, so it is bounded by their number.
pub struct Slots {
    all: usize,
    per_address: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
    turned_away: HashMap<Full, u64>,
}

/// One connection's place, until it is dropped.
pub struct Slot {
    slots: Arc<Slots>,
    /// None: a trusted proxy, which is counted in all only.
    address: Option<IpAddr>,
}

impl Slots {
    pub fn new(all: usize, per_address: usize) -> Arc<Self> {
        Arc::new(Self { all, per_address, taken: Mutex::default() })
    }

    /// `proxy`: this address brings many people's requests.
    pub fn take(self: &Arc<Self>, address: IpAddr, proxy: bool) -> Result<Slot, Full> {
        let mut taken = self.taken();
        let address = (!proxy).then(|| network_of(address));
        let full = if taken.all >= self.all {
            Some(Full::All)
        } else {
            let own = address.and_then(|a| taken.by_address.get(&a)).copied().unwrap_or(0);
            (address.is_some() && own >= self.per_address).then_some(Full::Address)
        };
        if let Some(full) = full {
            *taken.turned_away.entry(full).or_default() += 1;
            return Err(full);
        }
        taken.all += 1;
        if let Some(address) = address {
            *taken.by_address.entry(address).or_default() += 1;
        }
        drop(taken);
        Ok(Slot { slots: self.clone(), address })
    }

    /// Connections now.
    pub fn open(&self) -> usize {
        self.taken().all
    }

    /// Connections that were turned away for this reason since the start.
    pub fn turned_away(&self, why: Full) -> u64 {
        self.taken().turned_away.get(&why).copied().unwrap_or(0)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken();
        taken.all = taken.all.saturating_sub(1);
        let Some(address) = self.address else { return };
        if let Some(count) = taken.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(&address);
            }
        }
    }
}

/// One customer's IPv6 network is one address: its machines pick a new address whenever they like.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_cannot_take_every_place_and_gets_its_own_back() {
        let slots = Slots::new(3, 2);
        let (one, two) = (slots.take(ip("10.0.0.1"), false).unwrap(), slots.take(ip("::ffff:10.0.0.1"), false).unwrap());
        assert_eq!(slots.take(ip("10.0.0.1"), false).err(), Some(Full::Address));
        let other = slots.take(ip("10.0.0.2"), false).unwrap();
        assert_eq!(slots.take(ip("10.0.0.3"), false).err(), Some(Full::All));
        drop(one);
        assert!(slots.take(ip("10.0.0.1"), false).is_ok());
        drop((two, other));
        assert_eq!((slots.open(), slots.turned_away(Full::All), slots.turned_away(Full::Address)), (0, 1, 1));
        assert!(slots.taken().by_address.is_empty(), "addresses without a connection are forgotten");
    }

    #[test]
    fn a_trusted_proxy_is_counted_in_all_only() {
        let slots = Slots::new(3, 1);
        let held: Vec<_> = (0..3).map(|_| slots.take(ip("10.0.0.1"), true).unwrap()).collect();
        assert_eq!(slots.take(ip("10.0.0.1"), true).err(), Some(Full::All));
        drop(held);
    }

    #[test]
    fn a_network_of_version_6_is_one_address() {
        assert_eq!(network_of(ip("2001:db8:1:2:3::4")), network_of(ip("2001:db8:1:2:ffff::1")));
        assert_ne!(network_of(ip("2001:db8:1:2::1")), network_of(ip("2001:db8:1:3::1")));
    }
}
