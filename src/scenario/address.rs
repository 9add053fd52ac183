//! The address of exact nodes: `hgx[0].gpu[0..2]`, `hgx[0].cpu[1]`.

use std::fmt;
use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Nodes of one group of one platform, by name and position from zero: `hgx[0].gpu[0..2]` are the
/// first two `gpu` nodes of the first `hgx`; `hgx[0].cpu[1]` is one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("examples" = ["platform[0].group[0]"]))]
pub struct NodeSet {
    /// The platform's name.
    pub platform: String,
    /// Which of the platforms of that name.
    pub instance: u32,
    /// The node group's name.
    pub group: String,
    /// Which nodes of the group; never empty.
    pub nodes: Range<u32>,
}

impl TryFrom<String> for NodeSet {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse(&text).ok_or_else(|| {
            format!("nodes are written `platform[0].group[0..2]` or `platform[0].group[1]`, found `{text}`")
        })
    }
}

fn parse(text: &str) -> Option<NodeSet> {
    let (platform, rest) = text.split_once('[')?;
    let (instance, rest) = rest.split_once("].")?;
    let (group, rest) = rest.split_once('[')?;
    let nodes = rest.strip_suffix(']')?;
    let nodes = match nodes.split_once("..") {
        Some((start, end)) => number(start)?..number(end)?,
        None => number(nodes)?..number(nodes)?.checked_add(1)?,
    };
    let named = !platform.is_empty() && !group.is_empty() && !nodes.is_empty();
    named.then(|| {
        Some(NodeSet { platform: platform.into(), instance: number(instance)?, group: group.into(), nodes })
    })?
}

fn number(text: &str) -> Option<u32> {
    text.trim().parse().ok()
}

impl From<NodeSet> for String {
    fn from(nodes: NodeSet) -> Self {
        nodes.to_string()
    }
}

impl fmt::Display for NodeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { platform, instance, group, nodes } = self;
        if nodes.len() == 1 {
            write!(f, "{platform}[{instance}].{group}[{}]", nodes.start)
        } else {
            write!(f, "{platform}[{instance}].{group}[{}..{}]", nodes.start, nodes.end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed_and_written_back() {
        let nodes = NodeSet::try_from("hgx[3].gpu[0..2]".to_owned()).unwrap();
        assert_eq!((nodes.platform.as_str(), nodes.instance, nodes.group.as_str()), ("hgx", 3, "gpu"));
        assert_eq!(nodes.nodes, 0..2);
        for text in ["hgx[3].gpu[0..2]", "a.b[0].c-d[7]"] {
            assert_eq!(NodeSet::try_from(text.to_owned()).unwrap().to_string(), text);
        }
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for bad in [
            "",
            "hgx",
            "hgx[0]",
            "hgx[0].gpu",
            "hgx[x].gpu[0]",
            "hgx[0].gpu[2..2]",
            "hgx[0].gpu[-1]",
            "[0].g[0]",
            "h[0].g[0",
            "h[0].g[4294967295]",
        ] {
            let error = NodeSet::try_from(bad.to_owned()).unwrap_err();
            assert!(error.contains("platform[0].group[0..2]"), "{error}");
        }
    }
}
