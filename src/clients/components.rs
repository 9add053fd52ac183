//! What every client has, whatever its kind.

use std::marker::PhantomData;

use bevy_ecs::component::Component;
use bevy_ecs::entity::Entity;

use crate::engine::{Inbox, Wake};

/// A client, as the coordinator sees it.
#[derive(Component, Clone, Copy, Debug)]
pub struct Client {
    /// Position among all clients, which orders what happens at the same instant.
    pub index: u32,
    /// Where stages are delivered: the [`Delivered`] wake-up of the client's kind.
    pub inbox: Inbox,
}

/// A hardware unit in the cluster of a client. Static after load.
#[derive(Component, Clone, Copy, Debug)]
pub struct Node {
    /// The client whose steps it runs.
    pub client: Entity,
    /// Index of its accelerator in the deployment's list of SKUs.
    pub sku: u16,
    /// The physical platform it sits in, numbered through the deployment.
    pub platform: u32,
}

/// A stage reaches a client of kind `K`, a marker type of the kind's own.
pub struct Delivered<K> {
    /// The stage.
    pub stage: Entity,
    /// The client.
    pub client: Entity,
    kind: PhantomData<fn() -> K>,
}

impl<K> Delivered<K> {
    /// `stage` reaches `client`.
    pub const fn new(stage: Entity, client: Entity) -> Self {
        Self { stage, client, kind: PhantomData }
    }
}

impl<K> Clone for Delivered<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Delivered<K> {}

impl<K: 'static> Wake for Delivered<K> {
    const PRIORITY: u8 = 64;

    fn pack(self) -> [u64; 2] {
        [self.stage.to_bits(), self.client.to_bits()]
    }

    fn unpack([stage, client]: [u64; 2]) -> Self {
        Self::new(Entity::from_bits(stage), Entity::from_bits(client))
    }
}
