//! The reference's schedulers: who prefills and who decodes, decided at arrival.

use mist::coordinator::routing::{Load, Part, RouteRequest, RoutingPolicy};
use mist::engine::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Book;
use super::cluster::{Cluster, Job};

/// Its name in scenarios, without parameters.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reference {}

/// How it decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    RoundRobin,
    /// Fewest requests.
    Jsq,
    /// Fewest tokens pending.
    TokenJsq,
    /// Splitwise's pools that borrow.
    MixedPool,
}

/// A scheduler and its pools.
#[derive(Clone, Debug)]
pub struct Router {
    pub rule: Rule,
    /// Whether prefill and decode have instances of their own.
    pub split: bool,
    /// Longest queue of prompt tokens in a mixed pool.
    pub max_pending_tokens: i64,
    prefill: Vec<usize>,
    decode: Vec<usize>,
    mixed: Vec<usize>,
    homes: usize,
    next: (usize, usize),
}

impl Router {
    /// Over so many instances that prefill, and so many more that decode; none if all do both.
    pub fn new(rule: Rule, prefill: usize, decode: usize) -> Self {
        Self {
            rule,
            split: decode > 0,
            max_pending_tokens: 8192,
            prefill: (0..prefill).collect(),
            decode: (prefill..prefill + decode).collect(),
            mixed: Vec::new(),
            homes: prefill,
            next: (0, 0),
        }
    }

    /// How many instances there are.
    pub fn instances(&self) -> usize {
        self.prefill.len() + self.decode.len() + self.mixed.len()
    }
}

/// The first of those with the least.
fn least<K: Ord>(those: &[usize], key: impl Fn(usize) -> K) -> Option<usize> {
    those.iter().copied().min_by_key(|at| key(*at))
}

impl Cluster {
    /// Decides for a request that arrives.
    fn decide(&mut self, request: u32) -> (usize, usize) {
        let (rule, split) = (self.router.rule, self.router.split);
        let job = self.jobs[request as usize];
        let Router { prefill, decode, .. } = &self.router;
        let pick = |key: &dyn Fn(usize) -> i64| {
            let first = least(prefill, key).unwrap_or_default();
            (first, if split { least(decode, key).unwrap_or_default() } else { first })
        };
        match rule {
            Rule::RoundRobin => {
                let (first, second) = self.router.next;
                let prefills = self.router.prefill.len();
                let decodes = self.router.decode.len().max(1);
                self.router.next = ((first + 1) % prefills, (second + 1) % decodes);
                (first, if split { prefills + second } else { first })
            }
            Rule::Jsq => pick(&|at| i64::try_from(self.instances[at].requests.len()).unwrap_or(i64::MAX)),
            Rule::TokenJsq => {
                let places = pick(&|at| self.instances[at].pending_tokens);
                // With pools of their own, the reference forgets to count what it sends.
                if !split {
                    self.instances[places.0].pending_tokens += i64::from(job.prompt) + 1;
                }
                places
            }
            Rule::MixedPool => self.decide_mixed(job),
        }
    }

    fn decide_mixed(&mut self, Job { prompt, output, .. }: Job) -> (usize, usize) {
        let tokens = |at: usize| self.instances[at].pending_tokens;
        let promised = |at: usize| self.instances[at].promised;
        let Router { prefill, decode, mixed, max_pending_tokens, .. } = &self.router;
        let long = |at: &usize| {
            let queues = &self.instances[*at];
            !queues.pending.is_empty() && queues.pending_tokens + i64::from(prompt) > *max_pending_tokens
        };
        let memory = self.memory;
        let bytes = |tokens: u32| memory.bytes(tokens).cast_signed();
        let full = |at: &usize| promised(*at) + bytes(prompt + output) >= self.memory.capacity.cast_signed();
        let free_prefill = |pool: &[usize]| least(pool, tokens).filter(|at| !long(at));
        let free_decode = |pool: &[usize]| least(pool, promised).filter(|at| !full(at));
        let mut first = free_prefill(prefill).or_else(|| free_prefill(mixed));
        let mut second = free_decode(decode).or_else(|| free_decode(mixed));
        let borrowed = (first.is_none().then(|| least(decode, tokens)), second.is_none());
        if let Some(Some(at)) = borrowed.0 {
            self.router.lend(at);
            first = Some(at);
        }
        if borrowed.1
            && let Some(at) = least(&self.router.prefill, |at| self.instances[at].promised)
        {
            self.router.lend(at);
            second = Some(at);
        }
        let (first, second) = first.zip(second).unwrap_or_else(|| {
            let Router { prefill, decode, mixed, .. } = &self.router;
            let all = [&prefill[..], &mixed[..], &decode[..]].concat();
            let at = least(&all, |at| self.instances[at].pending_tokens).unwrap_or_default();
            (at, at)
        });
        self.instances[first].promised += bytes(prompt + 1);
        let grows = if first == second { output - 1 } else { prompt + output };
        self.instances[second].promised += bytes(grows);
        self.instances[first].pending_tokens += i64::from(prompt);
        self.instances[second].pending_tokens += 1;
        (first, second)
    }

    /// An instance has nothing to do: if it was lent, it goes back to the end of its pool.
    pub(super) fn goes_home(&mut self, at: usize) {
        let Router { prefill, decode, mixed, homes, .. } = &mut self.router;
        if let Some(place) = mixed.iter().position(|other| *other == at) {
            mixed.remove(place);
            if at < *homes { prefill.push(at) } else { decode.push(at) }
        }
    }
}

impl Router {
    fn lend(&mut self, at: usize) {
        self.prefill.retain(|other| *other != at);
        self.decode.retain(|other| *other != at);
        self.mixed.push(at);
    }
}

/// One of these a pool: that of the clients that prefill, whose guests are those that decode, and the other
/// way round.
pub struct Policy {
    book: Book,
}

impl Policy {
    pub const fn new(book: Book) -> Self {
        Self { book }
    }
}

impl RoutingPolicy for Policy {
    fn route(&mut self, request: &RouteRequest, load: &Load, _: &mut Stream) -> usize {
        let mut cluster = self.book.open();
        let number = request.id as u32;
        if request.part == Part::Decode {
            // Decided with its prefill. Here the clients that decode are the first ones.
            let (at, homes) = (cluster.places(number).1, cluster.router.homes);
            return if at >= homes { at - homes } else { load.clients() + at };
        }
        let places = cluster.decide(number);
        cluster.place(request.request, number, places);
        places.0
    }

    fn borrows(&self) -> bool {
        let router = &self.book.open().router;
        router.split && router.rule == Rule::MixedPool
    }
}
