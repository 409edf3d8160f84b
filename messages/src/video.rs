//! A video: how it is asked for, and what may be changed about it as a whole.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::catalogue::{Catalogue, ModelKind};
use crate::id::VideoId;
use crate::money::Usd;
use crate::phase::Phase;
use crate::spec::{AspectRatio, MAX_DURATION_S, MIN_DURATION_S};
use crate::violation::Violation;

/// Anyone to the coordinator, `create`: make a film. Sending it again for the same video gives the first answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateVideo {
    /// What the film should be, 10 to 1000 characters.
    pub prompt: String,
    /// At most 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// At most 2000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The video model's name; none means the first of the catalogue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Whether checkpoints approve themselves.
    #[serde(default)]
    pub auto_continue: AutoContinue,
    /// Not supported yet; must be empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reference_assets: Vec<serde_json::Value>,
    /// Seconds, 5 to 180.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<i64>,
    /// Width to height.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aspect_ratio: Option<String>,
    /// The archetype's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creativity: Option<f64>,
    /// The same seed gives the same artifacts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The most that the video may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_usd: Option<Usd>,
}

/// What a video was asked to be, checked and with every default filled in. Frozen in its `video_created` event (W34).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// What the film should be.
    pub prompt: String,
    /// More words.
    pub description: Option<String>,
    /// The models' names in the video's catalogue.
    pub models: Models,
    /// Seconds.
    pub duration: Option<u32>,
    /// Width to height.
    pub aspect_ratio: Option<AspectRatio>,
    /// The archetype's id.
    pub template: Option<String>,
    /// 0 to 1.
    pub creativity: f64,
    /// Every other seed is derived from this one.
    pub seed: u64,
}

/// Which model makes what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Models {
    /// Specs.
    pub language: String,
    /// Pictures.
    pub image: String,
    /// Chunks.
    pub video: String,
    /// Music.
    pub music: String,
}

/// What may change about a video while it lives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Its title.
    pub title: Option<String>,
    /// Whether checkpoints approve themselves.
    pub auto_continue: AutoContinue,
    /// The most that it may cost.
    pub budget_usd: Option<Usd>,
}

/// The creativity of a video whose creator gave none.
const DEFAULT_CREATIVITY: f64 = 0.5;

impl CreateVideo {
    /// The checked request, or everything that is wrong with it. `has_provider` says which providers this installation
    /// can reach.
    pub fn check(
        &self,
        video: VideoId,
        catalogue: &Catalogue,
        has_provider: impl Fn(&str) -> bool,
    ) -> Result<(Request, Settings), Vec<Violation>> {
        let mut found = Vec::new();
        let mut broken = |field: &str, reason: String| found.push(Violation::new(field, reason));

        if self.prompt.trim().chars().count() < 10 || self.prompt.chars().count() > 1000 {
            broken("prompt", "must be 10 to 1000 characters".into());
        }
        for (field, text, most) in [
            ("prompt", Some(&self.prompt), usize::MAX),
            ("title", self.title.as_ref(), 200),
            ("description", self.description.as_ref(), 2000),
        ] {
            let Some(text) = text else { continue };
            if text.chars().count() > most {
                broken(field, format!("must be at most {most} characters"));
            }
            if text.chars().any(is_unwanted_control) {
                broken(field, "must not contain control characters other than line breaks and tabs".into());
            }
        }
        if !self.reference_assets.is_empty() {
            broken("reference_assets", "reference assets are not supported yet, leave them out".into());
        }

        let default = |kind| catalogue.default_model(kind).map(|model| model.name.clone()).unwrap_or_default();
        let models = Models {
            language: default(ModelKind::Language),
            image: default(ModelKind::Image),
            video: self.model.clone().unwrap_or_else(|| default(ModelKind::Video)),
            music: default(ModelKind::Music),
        };
        match catalogue.model(ModelKind::Video, &models.video) {
            None => broken("model", unknown("model", &models.video, &catalogue.model_names(ModelKind::Video))),
            Some(model) if !has_provider(&model.provider) => {
                broken(
                    "model",
                    format!("`{}` needs the provider `{}`, which is not set up here", model.name, model.provider),
                );
            }
            Some(_) => {}
        }
        if let Some(template) = &self.template
            && catalogue.archetype(template).is_none()
        {
            broken("template", unknown("template", template, &catalogue.archetype_ids()));
        }

        let duration = self.duration.and_then(|s| u32::try_from(s).ok());
        let allowed = MIN_DURATION_S..=MAX_DURATION_S;
        if self.duration.is_some() && !duration.is_some_and(|s| allowed.contains(&s)) {
            broken("duration", format!("must be {MIN_DURATION_S} to {MAX_DURATION_S} seconds"));
        }
        let aspect_ratio = self.aspect_ratio.as_deref().map(|text| {
            serde_json::from_value::<AspectRatio>(serde_json::Value::from(text)).map_err(|_| text.to_owned())
        });
        if let Some(Err(text)) = &aspect_ratio {
            broken("aspect_ratio", unknown("aspect ratio", text, &["16:9", "9:16", "1:1", "4:5"]));
        }
        let creativity = self.creativity.unwrap_or(DEFAULT_CREATIVITY);
        if !(0.0..=1.0).contains(&creativity) {
            broken("creativity", "must be 0 to 1".into());
        }
        if let Some(seed) = self.seed
            && seed > MAX_SEED
        {
            broken("seed", format!("must be 0 to {MAX_SEED}"));
        }

        if !found.is_empty() {
            return Err(found);
        }
        let request = Request {
            prompt: self.prompt.trim().to_owned(),
            description: self.description.clone(),
            models,
            duration,
            aspect_ratio: aspect_ratio.and_then(Result::ok),
            template: self.template.clone(),
            creativity,
            seed: self.seed.unwrap_or_else(|| video.seed() & MAX_SEED),
        };
        let settings = Settings {
            title: self.title.clone(),
            auto_continue: self.auto_continue.clone(),
            budget_usd: self.budget_usd,
        };
        Ok((request, settings))
    }
}

/// The largest seed: every JSON reader keeps it exactly.
pub const MAX_SEED: u64 = (1 << 53) - 1;

fn is_unwanted_control(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\r' | '\t')
}

fn unknown(what: &str, given: &str, known: &[&str]) -> String {
    let given: String = given.chars().take(80).collect();
    format!("unknown {what} `{given}`; known: {}", known.join(", "))
}

/// Whether checkpoints approve themselves (YOLO): `false`, `true`, or limits.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum AutoContinue {
    /// A person approves.
    #[default]
    Off,
    /// The policy approves, inside these limits.
    On(AutoContinueLimits),
}

/// How far the policy may go.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoContinueLimits {
    /// Stop at this phase's checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "phase_name")]
    pub until: Option<Phase>,
    /// Stop before the video's cost would pass this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost_usd: Option<Usd>,
}

impl AutoContinue {
    /// Without limits.
    pub fn always() -> Self {
        Self::On(AutoContinueLimits::default())
    }

    /// Whether the policy approves a checkpoint of `phase` when the video will then have cost `cost`.
    pub fn approves(&self, phase: Phase, cost: Usd) -> bool {
        match self {
            Self::Off => false,
            Self::On(limits) => {
                limits.until.is_none_or(|until| phase < until) && limits.max_cost_usd.is_none_or(|most| cost <= most)
            }
        }
    }
}

impl Serialize for AutoContinue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_bool(false),
            Self::On(limits) if *limits == AutoContinueLimits::default() => serializer.serialize_bool(true),
            Self::On(limits) => limits.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for AutoContinue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Bool(false) => Ok(Self::Off),
            serde_json::Value::Bool(true) => Ok(Self::always()),
            limits @ serde_json::Value::Object(_) => {
                serde_json::from_value(limits).map(Self::On).map_err(D::Error::custom)
            }
            _ => Err(D::Error::custom("must be true, false or {\"until\": \"chunks\", \"max_cost_usd\": 2}")),
        }
    }
}

/// A phase by its name, in settings that people write.
mod phase_name {
    use super::*;

    pub fn serialize<S: Serializer>(phase: &Option<Phase>, serializer: S) -> Result<S::Ok, S::Error> {
        phase.map(Phase::name).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Phase>, D::Error> {
        let Some(name) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        let known = Phase::ALL.map(Phase::name).join(", ");
        Phase::from_name(&name)
            .map(Some)
            .ok_or_else(|| serde::de::Error::custom(format!("unknown phase; known: {known}")))
    }
}

/// Anyone to the coordinator, `settings`: change what may change about a video. A field that is left out stays.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeSettings {
    /// At most 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Switching it on approves what already waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_continue: Option<AutoContinue>,
    /// The most that the video may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_usd: Option<Usd>,
}

impl ChangeSettings {
    /// Everything that is wrong with it.
    pub fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        if *self == Self::default() {
            found.push(Violation::new("body", "names nothing to change: title, auto_continue or budget_usd"));
        }
        if let Some(title) = &self.title
            && (title.chars().count() > 200 || title.chars().any(is_unwanted_control))
        {
            found.push(Violation::new("title", "must be at most 200 characters, none of them a control character"));
        }
        found
    }
}

/// Anyone to the coordinator, `retry`: run again what did not finish, on the branch named or on every failed or
/// cancelled one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Only this branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

/// Anyone to the coordinator, `cancel`: stop running work, on the branch named or on every running one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// Only this branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

/// Anyone to the coordinator, `delete`: remove the video with all it made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delete {}
