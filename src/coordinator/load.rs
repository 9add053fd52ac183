//! The load of the clients of a pool, as the coordinator sees it: what it sent them and has not got back.
//!
//! A real control plane counts the same: requests it routed, their prompts, the first token that streams
//! back through it. Nothing is asked of the clients. Each figure costs O(log n) a change at most.

use super::min_tree::MinTree;

/// What a visit burdens a client with, from the moment it is routed there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Burden {
    /// Prompt tokens to be computed.
    pub prefill_tokens: u32,
    /// Tokens whose KV it will hold, the answer's not counted.
    pub kv_tokens: u32,
}

/// The books of one client.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    outstanding: u32,
    prefill_tokens: u64,
    kv_tokens: u64,
    kv_capacity: u64,
    lent: bool,
}

/// Load of the clients of a pool: first those at home in it, then guests from elsewhere that may be asked
/// to help out.
#[derive(Clone, Debug)]
pub struct Load {
    accounts: Vec<Account>,
    outstanding: MinTree,
    /// Pending tokens, where the policy looks at them.
    pending: Option<MinTree>,
}

impl Load {
    /// No load on `clients` clients, all at home.
    pub fn new(clients: usize) -> Self {
        Self {
            accounts: vec![Account::default(); clients],
            outstanding: MinTree::new(clients),
            pending: None,
        }
    }

    /// The same with a further client as a guest.
    pub(super) fn with_guest(mut self) -> Self {
        self.accounts.push(Account::default());
        self
    }

    /// The same, ready to tell who has the fewest tokens pending.
    pub(super) fn counting_tokens(self) -> Self {
        let pending = MinTree::new(self.clients());
        Self { pending: Some(pending), ..self }
    }

    /// Number of clients at home in the pool, the first ones.
    pub fn clients(&self) -> usize {
        self.outstanding.counts().len()
    }

    /// Number of clients, guests included.
    pub fn with_guests(&self) -> usize {
        self.accounts.len()
    }

    /// Requests routed to `client`, a position in the pool, and not come back: waiting, running, on their
    /// way, or planned to go there once they are prefilled.
    pub fn outstanding(&self, client: usize) -> u32 {
        self.accounts[client].outstanding
    }

    /// Prompt tokens of those requests that are not computed yet, as far as the coordinator knows: it
    /// learns of it with the first token. Kept only where a policy
    /// [counts tokens](super::routing::RoutingPolicy::counts_tokens); else the prompts of all that is outstanding.
    pub fn prefill_tokens(&self, client: usize) -> u64 {
        self.accounts[client].prefill_tokens
    }

    /// Tokens that wait for `client`: of prompts, and the next one of each request.
    pub fn pending_tokens(&self, client: usize) -> u64 {
        let Account { outstanding, prefill_tokens, .. } = self.accounts[client];
        prefill_tokens + u64::from(outstanding)
    }

    /// Tokens of text in the requests outstanding, generated ones not counted: what their KV takes at least.
    pub fn kv_tokens(&self, client: usize) -> u64 {
        self.accounts[client].kv_tokens
    }

    /// Tokens that the KV cache of `client` holds; 0 if it has none.
    pub fn kv_capacity(&self, client: usize) -> u64 {
        self.accounts[client].kv_capacity
    }

    /// Whether `client` was sent a visit of another pool than its own, and has not been idle since.
    pub fn is_lent(&self, client: usize) -> bool {
        self.accounts[client].lent
    }

    /// The client at home with the fewest requests outstanding, the first of equals; O(1).
    pub fn least_outstanding(&self) -> usize {
        self.outstanding.least()
    }

    /// The client at home with the fewest pending tokens, the first of equals; O(1) for policies that
    /// [count tokens](super::routing::RoutingPolicy::counts_tokens).
    pub fn least_pending(&self) -> usize {
        match &self.pending {
            Some(pending) => pending.least(),
            None => (0..self.clients()).min_by_key(|at| self.pending_tokens(*at)).unwrap_or_default(),
        }
    }

    /// A request is on its way to `client`.
    pub fn add(&mut self, client: usize) {
        self.book(client, Burden::default());
    }

    /// A request has come back from `client`.
    pub fn remove(&mut self, client: usize) {
        self.clear(client, Burden::default());
    }

    pub(super) fn set_kv_capacity(&mut self, client: usize, tokens: u64) {
        self.accounts[client].kv_capacity = tokens;
    }

    pub(super) fn set_lent(&mut self, client: usize, lent: bool) {
        self.accounts[client].lent = lent;
    }

    /// A request that asks for so much is on its way to `client`.
    #[inline]
    pub(super) fn book(&mut self, client: usize, burden: Burden) {
        let account = &mut self.accounts[client];
        account.outstanding += 1;
        account.prefill_tokens += u64::from(burden.prefill_tokens);
        account.kv_tokens += u64::from(burden.kv_tokens);
        self.compare(client);
    }

    /// A request has come back from `client`; so much was still booked for it.
    #[inline]
    pub(super) fn clear(&mut self, client: usize, burden: Burden) {
        let account = &mut self.accounts[client];
        account.outstanding = account.outstanding.saturating_sub(1);
        account.prefill_tokens = account.prefill_tokens.saturating_sub(burden.prefill_tokens.into());
        account.kv_tokens = account.kv_tokens.saturating_sub(burden.kv_tokens.into());
        self.compare(client);
    }

    /// So many prompt tokens of a request at `client` are computed.
    pub(super) fn prefilled(&mut self, client: usize, tokens: u32) {
        let account = &mut self.accounts[client];
        account.prefill_tokens = account.prefill_tokens.saturating_sub(tokens.into());
        self.compare(client);
    }

    #[inline]
    fn compare(&mut self, client: usize) {
        if client >= self.clients() {
            return; // guests are not among those that the trees compare
        }
        self.outstanding.set(client, self.accounts[client].outstanding);
        let tokens = self.pending_tokens(client).min(u32::MAX.into()) as u32;
        if let Some(pending) = &mut self.pending {
            pending.set(client, tokens);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pending_tokens_are_prompts_to_compute_and_a_token_for_each_request() {
        let mut load = Load::new(2).with_guest().counting_tokens();
        let burden = |tokens| Burden { prefill_tokens: tokens, kv_tokens: tokens };
        load.book(0, burden(100));
        load.book(2, burden(7));
        assert_eq!((load.least_pending(), load.pending_tokens(0), load.pending_tokens(2)), (1, 101, 8));
        load.book(1, burden(50));
        load.prefilled(0, 100);
        assert_eq!((load.least_pending(), load.pending_tokens(0), load.kv_tokens(0)), (0, 1, 100));
        load.clear(0, Burden { prefill_tokens: 0, kv_tokens: 100 });
        assert_eq!((load.pending_tokens(0), load.kv_tokens(0), load.outstanding(0)), (0, 0, 0));
        assert_eq!((load.clients(), load.with_guests()), (2, 3));
    }
}
