//! `dailies retention`: what was abandoned and will be collected, as a table.

use messages::id::VideoId;
use messages::money::Usd;
use messages::query::Collectible;
use serde_json::{Value, json};

use crate::client::{Client, ClientError};
use crate::columns::pad;
use crate::requests::RequestError;
use crate::screen::Screen;

/// Asks for a dry run and prints it. Nothing is collected by it.
pub async fn retention(client: &Client, video: VideoId, as_json: bool) -> Result<(), RequestError> {
    let mut screen = Screen::stdout();
    let answer: Value = client.query(video, "retention", &json!({})).await?;
    if as_json {
        screen.print(&serde_json::to_string_pretty(&answer).unwrap_or_default());
        return Ok(());
    }
    let rows: Vec<Collectible> =
        serde_json::from_value(answer).map_err(|error| ClientError::Strange(error.to_string()))?;
    table(&rows).iter().for_each(|line| screen.print(line));
    Ok(())
}

/// One line for each checkpoint that loses something, and one for all of them.
fn table(rows: &[Collectible]) -> Vec<String> {
    if rows.is_empty() {
        return vec!["Nothing is to be collected.".to_owned()];
    }
    let line = |[goes, branch, checkpoint, artifacts, bytes, cost]: [&str; 6]| {
        let (goes, branch, checkpoint) = (pad(goes, 16), pad(branch, 12), pad(checkpoint, 52));
        format!("{goes}  {branch}  {checkpoint}  {artifacts:>9}  {bytes:>9}  {cost:>8}")
    };
    let mut lines = vec![line(["GOES", "BRANCH", "CHECKPOINT", "ARTIFACTS", "SIZE", "COST"])];
    for row in rows {
        let goes = row.due_at.map_or_else(|| "never".to_owned(), |due| due.format("%Y-%m-%d %H:%M").to_string());
        let checkpoint = format!("{} {}", row.checkpoint_id, row.phase_number.name());
        let (artifacts, cost) = (row.artifacts.len().to_string(), row.cost_usd.to_string());
        lines.push(line([&goes, row.branch_name.as_str(), &checkpoint, &artifacts, &size(row.bytes), &cost]));
    }
    let artifacts = rows.iter().map(|row| row.artifacts.len()).sum::<usize>().to_string();
    let (bytes, cost) = (rows.iter().map(|row| row.bytes).sum(), rows.iter().map(|row| row.cost_usd).sum::<Usd>());
    lines.push(line(["", "", "", &artifacts, &size(bytes), &cost.to_string()]));
    lines
}

/// Bytes as people say them.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use messages::artifact::ArtifactKey;
    use messages::id::{ArtifactId, BranchName, CheckpointId};
    use messages::phase::Phase;

    use super::*;

    #[test]
    fn each_checkpoint_has_a_line_and_the_last_one_adds_them_up() {
        let video: VideoId = "vid-0195f0a0-1111-7000-8000-000000000001".parse().expect("valid");
        let row = |version, due_at, bytes| {
            let checkpoint_id = CheckpointId::derived(video, &BranchName::main(), Phase::Storyboard, version);
            Collectible {
                checkpoint_id,
                branch_name: BranchName::main(),
                phase_number: Phase::Storyboard,
                version,
                since: DateTime::UNIX_EPOCH,
                due_at,
                artifacts: vec![ArtifactId::derived(video, checkpoint_id, ArtifactKey::Beat(0), 1)],
                bytes,
                cost_usd: Usd::from_micros(500_000),
            }
        };
        let lines = table(&[row(1, Some(DateTime::UNIX_EPOCH), 999), row(2, None, 1_234_567)]);
        assert_eq!(lines.len(), 4, "{lines:#?}");
        assert!(lines[1].starts_with("1970-01-01 00:00  main") && lines[1].contains("storyboard"), "{}", lines[1]);
        assert!(lines[1].ends_with("1      999 B     $0.50"), "{}", lines[1]);
        assert!(lines[2].starts_with("never") && lines[2].ends_with("1.2 MB     $0.50"), "{}", lines[2]);
        assert!(lines[3].ends_with("2     1.2 MB     $1.00"), "{}", lines[3]);
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{lines:#?}");
        assert_eq!(table(&[]), ["Nothing is to be collected."]);
    }
}
