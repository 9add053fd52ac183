//! How well a figure is known.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How well the figures of an entry are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Verified {
    /// Checked against the maker's own documents or configuration files.
    Vendor,
    /// The main figures checked, some not.
    Partly,
    /// Computed from other figures, as the source says.
    Derived,
    /// Written down from memory and not checked: use with care.
    Recalled,
    /// Announced for a product that is not on sale; expect it to change.
    Announced,
}
