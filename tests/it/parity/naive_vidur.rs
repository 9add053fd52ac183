//! Vidur once more: its events, its schedulers, its requests, as its source and its users describe them, in
//! seconds, without any of MIST. <https://github.com/microsoft/vidur>
//!
//! Left out: pipeline parallelism, and events that change nothing with one stage.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};

use super::vidur::{Global, Kind, Load, Settings};

/// What a request comes to.
#[derive(Clone, Default)]
pub struct Request {
    arrived: f64,
    prefill: u64,
    decode: u64,
    processed: u64,
    is_prefill_complete: bool,
    pub restarts: u32,
    pub scheduled: Option<f64>,
    pub first_token: Option<f64>,
    pub completed: Option<f64>,
}

impl Request {
    fn end(&mut self, now: f64, tokens: u64) {
        self.processed += tokens;
        if self.processed == self.prefill {
            self.is_prefill_complete = true;
            self.processed += 1;
            self.first_token.get_or_insert(now);
        }
        assert!(self.processed <= self.prefill + self.decode);
        if self.processed == self.prefill + self.decode {
            self.completed = Some(now);
        }
    }

    fn restart(&mut self) {
        let total = self.prefill + self.decode;
        self.prefill = self.processed;
        self.decode = total - self.prefill;
        self.processed = 0;
        self.is_prefill_complete = false;
        self.restarts += 1;
    }
}

/// A batch that was run to its end.
#[derive(Clone)]
pub struct Batch {
    pub replica: usize,
    pub scheduled: f64,
    pub completed: f64,
    pub size: u32,
    pub prefill_tokens: u64,
    pub decode_tokens: u64,
    /// Requests, and their tokens in it.
    members: Vec<(usize, u64)>,
}

/// What comes of a run.
pub struct Run {
    pub requests: Vec<Request>,
    pub batches: Vec<Batch>,
}

type Price = fn(u64, u64, u64, &[(u64, u64)]) -> f64;

enum Event {
    Arrival(usize),
    GlobalSchedule,
    ReplicaSchedule(usize),
    BatchEnd(Box<Batch>),
}

/// By time, then by the order in which they were created.
struct Entry(f64, u64, Event);

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0).then(self.1.cmp(&other.1))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for Entry {}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

#[derive(Default)]
struct Replica {
    queue: Vec<usize>,
    preempted: Vec<usize>,
    /// Of the static batch that is not over.
    static_batch: Vec<usize>,
    allocated: BTreeMap<usize, u64>,
    is_running: bool,
}

impl Replica {
    fn free(&self, settings: &Settings) -> u64 {
        settings.blocks - self.allocated.values().sum::<u64>()
    }
}

/// Runs the load.
pub fn run(load: &[Load], settings: &Settings, price: Price) -> Run {
    let request = |load: &Load| Request {
        arrived: load.arrived_at,
        prefill: load.prefill_tokens.into(),
        decode: load.decode_tokens.into(),
        ..Request::default()
    };
    let mut vidur = Vidur {
        settings,
        price,
        requests: load.iter().map(request).collect(),
        replicas: (0..settings.replicas).map(|_| Replica::default()).collect(),
        events: BinaryHeap::new(),
        created: 0,
        arrived: Vec::new(),
        routed: 0,
        draws: twisted(settings.seed),
        batches: Vec::new(),
    };
    for (at, load) in load.iter().enumerate() {
        vidur.push(load.arrived_at, Event::Arrival(at));
    }
    while let Some(Reverse(Entry(now, _, event))) = vidur.events.pop() {
        vidur.handle(now, event);
    }
    Run { requests: vidur.requests, batches: vidur.batches }
}

struct Vidur<'a> {
    settings: &'a Settings,
    price: Price,
    requests: Vec<Request>,
    replicas: Vec<Replica>,
    events: BinaryHeap<Reverse<Entry>>,
    created: u64,
    arrived: Vec<usize>,
    routed: usize,
    draws: Vec<u32>,
    batches: Vec<Batch>,
}

impl Vidur<'_> {
    fn push(&mut self, at: f64, event: Event) {
        self.created += 1;
        self.events.push(Reverse(Entry(at, self.created, event)));
    }

    fn handle(&mut self, now: f64, event: Event) {
        match event {
            Event::Arrival(request) => {
                self.arrived.push(request);
                self.push(now, Event::GlobalSchedule);
            }
            Event::GlobalSchedule => {
                let mut waiting: Vec<usize> =
                    self.replicas.iter().map(|replica| replica.queue.len()).collect();
                for request in std::mem::take(&mut self.arrived) {
                    let replica = self.route(&mut waiting);
                    self.replicas[replica].queue.push(request);
                    self.push(now, Event::ReplicaSchedule(replica));
                }
            }
            Event::ReplicaSchedule(replica) if !self.replicas[replica].is_running => {
                let members = self.next_batch(replica);
                if !members.is_empty() {
                    self.replicas[replica].is_running = true;
                    let batch = self.begin(now, replica, members);
                    self.push(batch.completed, Event::BatchEnd(Box::new(batch)));
                }
            }
            Event::ReplicaSchedule(_) => {}
            Event::BatchEnd(batch) => {
                for (request, tokens) in &batch.members {
                    self.requests[*request].end(now, *tokens);
                }
                self.end(&batch);
                self.push(now, Event::ReplicaSchedule(batch.replica));
                self.batches.push(*batch);
            }
        }
    }

    fn route(&mut self, waiting: &mut [usize]) -> usize {
        let at = self.routed;
        self.routed += 1;
        match &self.settings.global {
            Global::RoundRobin => at % waiting.len(),
            Global::Lor => {
                let least = waiting.iter().min().copied();
                let replica = waiting.iter().position(|count| Some(*count) == least).unwrap();
                waiting[replica] += 1;
                replica
            }
            Global::Random => {
                assert_eq!(waiting.len(), 2, "two bits a draw");
                let draw = self.draws.iter().position(|word| word >> 30 < 2).unwrap();
                let replica = self.draws[draw] >> 30;
                self.draws.drain(..=draw);
                replica as usize
            }
            Global::Recorded(_) => unreachable!("nothing is recorded"),
        }
    }

    fn begin(&mut self, now: f64, replica: usize, members: Vec<(usize, u64)>) -> Batch {
        let (mut prompts, mut decodes, mut context, mut all) = (Vec::new(), 0, 0, 0);
        for (id, tokens) in &members {
            let request = &mut self.requests[*id];
            request.scheduled.get_or_insert(now);
            all += tokens;
            if request.is_prefill_complete {
                decodes += 1;
                context += request.processed;
            } else {
                prompts.push((*tokens, request.processed));
            }
        }
        Batch {
            replica,
            scheduled: now,
            completed: now + (self.price)(all, decodes, context, &prompts),
            size: members.len() as u32,
            prefill_tokens: all - decodes,
            decode_tokens: decodes,
            members,
        }
    }

    fn end(&mut self, batch: &Batch) {
        let replica = &mut self.replicas[batch.replica];
        replica.is_running = false;
        let ids = batch.members.iter().map(|(id, _)| *id);
        let done = |id: &usize| self.requests[*id].completed.is_some();
        if self.settings.scheduler == Kind::FasterTransformer {
            if ids.clone().all(|id| done(&id)) {
                replica.allocated.retain(|id, _| !batch.members.iter().any(|(member, _)| member == id));
            } else {
                replica.static_batch = ids.filter(|id| !done(id)).collect();
            }
            return;
        }
        for id in ids {
            if done(&id) {
                replica.allocated.remove(&id);
            } else {
                replica.preempted.push(id);
            }
        }
    }

    fn next_batch(&mut self, replica: usize) -> Vec<(usize, u64)> {
        match self.settings.scheduler {
            Kind::Sarathi => self.sarathi(replica),
            Kind::Vllm => self.vllm(replica),
            Kind::Orca => self.orca(replica),
            Kind::FasterTransformer => self.faster_transformer(replica),
        }
    }

    fn blocks_of_prompt(&self, id: usize) -> u64 {
        self.requests[id].prefill.div_ceil(self.settings.block_size.into())
    }

    fn can_admit(&self, at: usize, id: usize) -> bool {
        let watermark = (self.settings.watermark * self.settings.blocks as f64) as u64;
        let replica = &self.replicas[at];
        replica.allocated.len() < self.settings.batch_size_cap as usize
            && replica.free(self.settings) >= self.blocks_of_prompt(id) + watermark
    }

    fn admit(&mut self, at: usize) -> usize {
        let id = self.replicas[at].queue.remove(0);
        let blocks = self.blocks_of_prompt(id);
        self.replicas[at].allocated.insert(id, blocks);
        id
    }

    fn evict(&mut self, at: usize, id: usize) {
        self.requests[id].restart();
        self.replicas[at].allocated.remove(&id);
        self.replicas[at].queue.insert(0, id);
    }

    /// Gives `id` a block for its next token, at the cost of others; `false` if it was evicted itself.
    fn grow(&mut self, at: usize, id: usize) -> bool {
        while self.replicas[at].free(self.settings) == 0 {
            if let Some(victim) = self.replicas[at].preempted.pop() {
                self.evict(at, victim);
            } else {
                self.evict(at, id);
                return false;
            }
        }
        let blocks = self.replicas[at].allocated.get_mut(&id).unwrap();
        if self.requests[id].processed > *blocks * u64::from(self.settings.block_size) {
            *blocks += 1;
        }
        true
    }

    fn sarathi(&mut self, at: usize) -> Vec<(usize, u64)> {
        let chunk_size = u64::from(self.settings.chunk_size);
        let (mut batch, mut under_way, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        while !self.replicas[at].preempted.is_empty() {
            let id = self.replicas[at].preempted.remove(0);
            if !self.requests[id].is_prefill_complete {
                under_way.push(id);
            } else if self.grow(at, id) {
                batch.push((id, 1));
            }
        }
        let room = |batch: &[(usize, u64)], left: u64| {
            left.min(chunk_size.saturating_sub(batch.iter().map(|(_, tokens)| tokens).sum()))
        };
        for id in under_way {
            match room(&batch, self.requests[id].prefill - self.requests[id].processed) {
                0 => skipped.push(id),
                tokens => batch.push((id, tokens)),
            }
        }
        skipped.sort_by(|a, b| self.requests[*a].arrived.total_cmp(&self.requests[*b].arrived));
        self.replicas[at].preempted = skipped;
        while let Some(id) = self.replicas[at].queue.first().copied() {
            let tokens = room(&batch, self.requests[id].prefill);
            if tokens == 0 || !self.can_admit(at, id) {
                break;
            }
            batch.push((self.admit(at), tokens));
        }
        batch
    }

    fn vllm(&mut self, at: usize) -> Vec<(usize, u64)> {
        let mut batch: Vec<(usize, u64)> = Vec::new();
        while let Some(id) = self.replicas[at].queue.first().copied() {
            let tokens = self.requests[id].prefill;
            let longest = batch.iter().map(|(_, tokens)| *tokens).max().unwrap_or(0).max(tokens);
            let padded = longest * (batch.len() as u64 + 1);
            if padded > self.settings.max_tokens_in_batch.into() || !self.can_admit(at, id) {
                break;
            }
            batch.push((self.admit(at), tokens));
        }
        if batch.is_empty() {
            let mut preempted = std::mem::take(&mut self.replicas[at].preempted);
            preempted.sort_by(|a, b| self.requests[*a].arrived.total_cmp(&self.requests[*b].arrived));
            self.replicas[at].preempted = preempted;
            while !self.replicas[at].preempted.is_empty() {
                let id = self.replicas[at].preempted.remove(0);
                if self.grow(at, id) {
                    batch.push((id, 1));
                }
            }
        }
        batch
    }

    /// Takes whole requests from the queue while there is room for the longest.
    fn fill(&mut self, at: usize, batch: &mut Vec<(usize, u64)>) {
        let each = u64::from(self.settings.max_tokens / self.settings.block_size);
        let most = self.settings.batch_size_cap.min(self.settings.slots) as usize;
        while !self.replicas[at].queue.is_empty()
            && batch.len() < most
            && self.replicas[at].free(self.settings) >= each
        {
            let id = self.replicas[at].queue.remove(0);
            self.replicas[at].allocated.insert(id, each);
            batch.push((id, self.requests[id].prefill));
        }
    }

    fn orca(&mut self, at: usize) -> Vec<(usize, u64)> {
        let preempted = std::mem::take(&mut self.replicas[at].preempted);
        let mut batch = preempted.into_iter().map(|id| (id, 1)).collect();
        self.fill(at, &mut batch);
        batch
    }

    fn faster_transformer(&mut self, at: usize) -> Vec<(usize, u64)> {
        let under_way = std::mem::take(&mut self.replicas[at].static_batch);
        let mut batch: Vec<(usize, u64)> = under_way.into_iter().map(|id| (id, 1)).collect();
        if batch.is_empty() {
            self.fill(at, &mut batch);
        }
        batch
    }
}

/// The first words of the Mersenne Twister after Python's `random.seed(7)`, as `CPython` 3 gives them.
fn twisted(seed: u32) -> Vec<u32> {
    if seed != 7 {
        return Vec::new();
    }
    WORDS.to_vec()
}

#[rustfmt::skip]
const WORDS: [u32; 220] = [
    0x52e6_b438, 0xf2a7_4de4, 0x269e_0d37, 0x6513_270e, 0xa6a3_a450, 0x0c5c_7fd0, 0x128b_2f33, 0xd23f_0824,
    0x892f_902b, 0x1818_e811, 0x5d9d_c9f8, 0x9531_985d, 0x0ed9_0475, 0xe8e2_5d94, 0x81e7_4ef5, 0x36f6_75cc,
    0x0999_50d8, 0x1600_a35a, 0x6f03_675a, 0x6b0d_549b, 0x11e2_0b8f, 0x3d9c_1724, 0x1738_f7d9, 0x8d11_6ece,
    0x6cad_4a26, 0x0f21_ddb6, 0xd3ac_94af, 0x90c1_92cf, 0x1fb1_7c23, 0xf28c_105d, 0x3926_3059, 0xa170_b338,
    0xa09f_76b5, 0x953f_48f1, 0xf29d_0da9, 0x0fd6_30f1, 0x93bd_04cf, 0x95e6_0af5, 0x658c_da14, 0x0cb1_e29c,
    0xf9eb_dacc, 0x3898_d190, 0x0bec_d7b0, 0x8e81_973e, 0xdbc4_96cb, 0x2217_bead, 0x4a23_d596, 0x6b4c_b242,
    0x24ed_e6a4, 0x8a6a_63ec, 0x1e27_a1c0, 0x9227_6658, 0x4ef8_aa38, 0x8f6d_0558, 0xd0ed_a82f, 0xae97_ba94,
    0x2e44_158b, 0x1a61_dbe2, 0x94e3_bf91, 0x923a_7369, 0xa38f_d547, 0x3018_50c5, 0x5f55_7203, 0x18f1_35d2,
    0x8c38_fb29, 0xb64c_e422, 0x1012_f037, 0x907a_70c3, 0x0f42_05b4, 0x9e77_69b1, 0x34b9_b5df, 0x7f15_0524,
    0xae2e_b154, 0x881e_d162, 0x6d76_b07e, 0xc6f8_7718, 0x506b_f2ef, 0x7731_af10, 0x95e7_61d1, 0xec66_a787,
    0x7403_e430, 0x5c90_a958, 0x4cbd_87ad, 0x3f98_e277, 0xcb5c_7427, 0x2e05_319a, 0xb2f1_4c94, 0xc7a2_ea20,
    0x3e7d_1bfb, 0x14f4_733f, 0x930d_6eaf, 0x4cdd_2055, 0x8673_4721, 0x7ebf_f206, 0xe009_02c7, 0x57ee_05cd,
    0xbabc_ed20, 0x72e6_cc3a, 0x49b6_4a08, 0x9be4_bcfc, 0xfaec_bd38, 0x12bd_4ace, 0x1e39_8f10, 0x830e_07bc,
    0x6b0a_18e8, 0x2a3a_f4d4, 0xc1d3_fcff, 0x5790_f82e, 0x26e8_7555, 0xeeea_cbe2, 0x7d2c_af82, 0x6bf4_6c69,
    0x0a09_7c97, 0xf646_e1f4, 0xab10_31d0, 0x13de_ef86, 0xc3ba_ea9e, 0x8ede_0d7a, 0x92b1_d3f2, 0xca02_135e,
    0xe01f_5057, 0xd17f_9aca, 0x5051_c1cc, 0x5712_4242, 0xb1fe_e08f, 0x59a5_4a7b, 0x9828_9fcd, 0x7f26_144b,
    0x9474_031b, 0xcc01_1cdd, 0x74c9_df6a, 0x119a_72d1, 0xd708_20fe, 0x17f5_e837, 0xf1d6_9ed6, 0x451a_bd81,
    0x795e_8229, 0xb271_5945, 0xaa05_e11a, 0x10a3_d6b2, 0x0f88_080b, 0xbb2d_420f, 0xb394_fb36, 0x4f42_6dcb,
    0xa5aa_3c81, 0x93f4_48b3, 0xfe3b_890b, 0xae65_8f33, 0xd269_a9a5, 0x7215_8370, 0x48db_40af, 0xb774_eb52,
    0x62c3_3a4f, 0xe315_1288, 0xab2c_d31e, 0x58d5_563d, 0x05c6_af07, 0xf0ce_5835, 0x7631_a992, 0x5aff_b229,
    0x2b05_37e6, 0x9c65_3938, 0x1df9_fd78, 0x7e62_aa0a, 0x0f17_a300, 0x37dc_76fb, 0xc4aa_eac1, 0x4995_2399,
    0x211c_70cf, 0xbd05_61e6, 0x3f63_af83, 0x65dc_9f50, 0x6415_479c, 0xeab4_77d2, 0xdf15_82b0, 0x7f1b_103c,
    0x14a0_f9e7, 0x2a96_fb1a, 0x72fd_f202, 0x66d2_2876, 0x8ca8_1811, 0x4720_771f, 0xe225_7159, 0x230d_977e,
    0xd1bc_52d9, 0x6e36_aab0, 0xdd2e_1609, 0x8cdb_305f, 0x4746_9a4d, 0xb4d6_6a3a, 0x6a50_df4d, 0xfc89_1b4a,
    0x5bd8_6d40, 0xaec6_f024, 0xe25a_7605, 0x6164_99c9, 0xf52d_df5d, 0x3b12_87ff, 0x26a2_c0bd, 0x153e_7c2a,
    0x2d1c_9af0, 0x26bb_7dbd, 0x3b61_8676, 0xa894_8c89, 0x3bbb_e9ea, 0x0316_909e, 0x7c26_847f, 0xd4c2_8c2e,
    0x96d0_cc5f, 0x2eae_05cf, 0x4343_5cc5, 0x482c_9cbc, 0x010c_4759, 0x254b_0c4e, 0x6b40_13ef, 0x88da_f401,
    0x5e87_66ed, 0x9c1c_aaf7, 0x90fb_bd11, 0x5190_88f5,
];
