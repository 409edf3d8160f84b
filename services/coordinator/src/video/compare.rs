//! How two checkpoints differ.

use std::collections::{BTreeMap, BTreeSet};

use messages::artifact::ArtifactKey;
use messages::id::CheckpointId;
use messages::money::Usd;
use messages::query::{ArtifactDifference, Comparison, SpecDifference};
use serde_json::Value;

use super::view::artifact_view;
use super::{Selection, Video, json};

impl Video {
    /// Spec field by field, artifacts pairwise, and what each side cost to make; none when there is no such checkpoint.
    pub fn compare(&self, a: CheckpointId, b: CheckpointId) -> Option<Comparison> {
        let (left, right) = (&self.checkpoints.get(&a)?.selection, &self.checkpoints.get(&b)?.selection);
        let mut spec = Vec::new();
        differ("", &json(&self.spec(a)), &json(&self.spec(b)), &mut spec);
        let keys: BTreeSet<_> = left.keys().chain(right.keys()).copied().collect();
        let artifacts: BTreeMap<_, _> =
            keys.into_iter().map(|key| (key.to_string(), self.pair(key, left, right))).collect();
        let (cost_a_usd, cost_b_usd) = (self.cost_of(left), self.cost_of(right));
        let cost_difference_usd = cost_b_usd.dollars() - cost_a_usd.dollars();
        Some(Comparison { a, b, spec, artifacts, cost_a_usd, cost_b_usd, cost_difference_usd })
    }

    fn pair(&self, key: ArtifactKey, left: &Selection, right: &Selection) -> ArtifactDifference {
        let of = |selection: &Selection| selection.get(&key).and_then(|id| self.artifacts.get(id));
        let (a, b) = (of(left), of(right));
        let verdict = match (a, b) {
            (Some(a), Some(b)) if a.content.digest() == b.content.digest() => "same",
            (Some(_), None) => "only_in_a",
            (None, Some(_)) => "only_in_b",
            (Some(_), Some(_)) | (None, None) => "changed",
        };
        let view = |artifact: Option<&std::sync::Arc<_>>| artifact.map(|artifact| artifact_view(artifact));
        ArtifactDifference { verdict: verdict.to_owned(), a: view(a), b: view(b) }
    }

    /// What the artifacts of a selection cost to make, wherever they were made.
    fn cost_of(&self, selection: &Selection) -> Usd {
        let jobs: BTreeSet<_> = selection.values().filter_map(|id| self.artifacts.get(id)?.job).collect();
        self.ledger.iter().filter(|row| jobs.contains(&row.job)).map(|row| row.amount_usd).sum()
    }
}

/// Notes every leaf in which two values differ, under its path.
fn differ(path: &str, a: &Value, b: &Value, found: &mut Vec<SpecDifference>) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let names: BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                differ(&path, a.get(name).unwrap_or(&Value::Null), b.get(name).unwrap_or(&Value::Null), found);
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for i in 0..a.len().max(b.len()) {
                let path = format!("{path}[{i}]");
                differ(&path, a.get(i).unwrap_or(&Value::Null), b.get(i).unwrap_or(&Value::Null), found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push(SpecDifference { path: path.to_owned(), a: a.clone(), b: b.clone() }),
    }
}
