//! What visits did, kept for a timeline. There is no log, and no cost, unless a run is asked for one.

use bevy_ecs::resource::Resource;

use crate::request::Request;
use crate::request::pipeline::Part;

/// The visits of the first requests.
#[derive(Resource, Debug)]
pub struct VisitLog {
    requests: u64,
    visits: Vec<VisitPart>,
}

/// A stage that a request went through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisitPart {
    /// The request, by its place in the order of arrival.
    pub request: u64,
    /// Its source, a position in the workload.
    pub source: u16,
    /// Its pipeline.
    pub program: u16,
    /// The client, by its position among all; none where it waited for something outside.
    pub client: Option<u32>,
    /// What was done when.
    pub part: Part,
}

impl VisitLog {
    /// A log of the first `requests` that arrive.
    pub const fn new(requests: u64) -> Self {
        Self { requests, visits: Vec::new() }
    }

    pub(super) fn add(
        &mut self,
        request: &Request,
        client: Option<u32>,
        parts: impl IntoIterator<Item = Part>,
    ) {
        let Request { id, source, program, .. } = *request;
        if id < self.requests {
            let visit = |part| VisitPart { request: id, source, program, client, part };
            self.visits.extend(parts.into_iter().map(visit));
        }
    }

    /// What is in it: by request, each in the order in which its stages were over.
    pub fn into_visits(mut self) -> Vec<VisitPart> {
        self.visits.sort_by_key(|visit| visit.request);
        self.visits
    }
}
