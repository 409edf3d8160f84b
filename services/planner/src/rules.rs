//! The built-in planner: reads a prompt with word lists and writes a spec, without a network.
//!
//! Pure: the same job gives the same spec. Everything that it knows of a language stands in `lexicon/`, everything that it
//! knows of beats and archetypes comes with the job. What it makes breaks no rule of the spec, for every length and every
//! library that can fill that length.
//!
//! In reading order: [`text`] and [`lexicon`] (words and lists), [`length`], [`product`], [`wishes`] and [`palette`] (what a
//! prompt says), [`archetype`] and [`sequence`] (which shape and beats), [`scenes`] (their words), [`dice`] (seeded choice).

pub mod archetype;
pub mod dice;
pub mod length;
pub mod lexicon;
pub mod palette;
pub mod product;
pub mod scenes;
pub mod sequence;
pub mod text;
pub mod wishes;

use messages::catalogue::{Archetype, Energy, LibraryBeat};
use messages::planner::PlanSpec;
use messages::spec::{
    Audio, Beat, Mood, MusicStyle, Product, Reasoning, Spec, Style, Tempo, Transition, TransitionKind, rounded_duration,
};

use self::dice::Dice;
use self::length::Requested;
use self::lexicon::{Concept, Lexicon};
use self::text::Text;
use self::wishes::Wishes;

/// Frames a second of every film that the rules plan.
const FPS: u32 = 30;

/// Writes a spec for a job, or says why none is possible.
pub fn plan(plan: &PlanSpec) -> Result<Spec, String> {
    let lexicon = Lexicon::shipped().map_err(str::to_owned)?;
    let brief = Brief::read(plan, lexicon);
    let archetype = brief.archetype(plan, lexicon)?;
    let wanted = sequence::Wanted {
        library: &plan.library,
        archetype: archetype.0,
        categories: &brief.categories,
        mood: brief.mood,
        seconds: rounded_duration(brief.requested.seconds),
        creativity: plan.creativity,
        dice: brief.dice,
    };
    let sequence = sequence::fit(&wanted)?;

    let book =
        (lexicon.scenes.get(brief.language).or_else(|| lexicon.scenes.get("en"))).ok_or("there are no scene texts")?;
    let name = brief.name.clone().unwrap_or_else(|| nameless(brief.language, book));
    let film = scenes::Film {
        book,
        product: &name,
        setting: brief.setting,
        mood: brief.mood,
        people: !brief.wishes.without_people,
        dice: brief.dice,
    };
    let scenes = scenes::write(&film, &sequence);
    let look = |name: Option<&str>| name.and_then(|name| book.look.get(name)).cloned();
    let light = brief.wishes.light.as_deref().unwrap_or(usual_light(brief.mood));

    let mut spec = Spec {
        template: archetype.0.id.clone(),
        duration: 0,
        fps: FPS,
        aspect_ratio: brief.shape(plan),
        resolution: brief.shape(plan).size(),
        product: Product { name, category: brief.category.clone() },
        style: Style {
            aesthetic: look(brief.wishes.look.as_deref())
                .or_else(|| look(Some(mood_id(brief.mood))))
                .unwrap_or_default(),
            color_palette: palette::compose(
                &brief.colors,
                brief.mood,
                brief.setting,
                plan.creativity,
                brief.dice,
                lexicon,
            ),
            mood: brief.mood,
            lighting: book.light.get(light).cloned().unwrap_or_default(),
        },
        audio: brief.audio(plan),
        transitions: transitions(&sequence, brief.mood),
        reasoning: Reasoning { archetype: archetype.1, beats: why_beats(&sequence, archetype.0, &brief) },
        beats: sequence.into_iter().zip(scenes).map(|(beat, scene)| Beat::from_library(beat, scene)).collect(),
    };
    spec.derive();
    Ok(spec)
}

/// The length that a job asks for, whatever model plans it.
pub fn requested(plan: &PlanSpec) -> Result<Requested, String> {
    Ok(length::requested(plan, Lexicon::shipped().map_err(str::to_owned)?))
}

/// What the job says, read.
struct Brief<'a> {
    language: &'static str,
    whole: Text,
    requested: Requested,
    name: Option<String>,
    kind: Option<&'a Concept>,
    category: String,
    categories: Vec<&'a str>,
    setting: &'a str,
    wishes: Wishes,
    colors: palette::Wishes,
    mood: Mood,
    dice: Dice,
}

impl<'a> Brief<'a> {
    fn read(plan: &'a PlanSpec, lexicon: &'a Lexicon) -> Self {
        let parts = [Some(plan.prompt.as_str()), plan.title.as_deref(), plan.description.as_deref()];
        let whole = Text::read(&parts.map(Option::unwrap_or_default).join("\n"));
        let language = wishes::language(&whole, lexicon);
        let [prompt, title, description] = parts.map(|part| Text::read(part.unwrap_or_default()).in_language(language));
        let whole = whole.in_language(language);
        let notes: Vec<_> = (plan.notes.iter().map(|note| Text::read(note)))
            .map(|note| {
                let own = wishes::language(&note, lexicon);
                note.in_language(own)
            })
            .collect();

        let product = product::find(&[&prompt, &title, &description], lexicon);
        // The prompt overrules title and description, and every note what was said before it.
        let in_order = || [&title, &description, &prompt].into_iter().chain(&notes);
        let wishes = in_order().fold(Wishes::default(), |before, text| before.then(Wishes::read(text, lexicon)));
        let colors = in_order()
            .fold(palette::Wishes::default(), |before, text| before.then(palette::Wishes::read(text, lexicon)));
        let kind_mood = product.kind.and_then(|kind| mood_from_id(kind.attribute("mood")));
        let template_mood = plan.template.as_deref().and_then(|id| mood_of_archetype(id, lexicon));
        let mood = wishes.mood.or(template_mood).or(kind_mood).unwrap_or(Mood::Minimalist);
        let (category, categories) = categories(plan, product.kind, &whole);
        Self {
            language,
            requested: length::requested(plan, lexicon),
            name: product.name,
            kind: product.kind,
            category,
            categories,
            setting: product.kind.map_or("general", |kind| kind.attribute("setting")),
            wishes,
            colors,
            mood,
            // A note always changes something, also one that no list understands.
            dice: Dice::new(plan.seed, plan.notes.iter().map(String::as_str)),
            whole,
        }
    }

    fn archetype<'p>(&self, plan: &'p PlanSpec, lexicon: &Lexicon) -> Result<(&'p Archetype, String), String> {
        if let Some(id) = &plan.template {
            let known = || format!("there is no archetype `{id}`; known: {}", plan.library.archetype_ids().join(", "));
            let archetype = plan.library.archetype(id).ok_or_else(known)?;
            return Ok((
                archetype,
                format!("`{id}`: it was asked for. Its story: {}.", archetype.story_arc.join(", ")),
            ));
        }
        let evidence = archetype::Evidence {
            text: &self.whole,
            kind: self.kind,
            mood: self.mood,
            mood_is_asked_for: self.wishes.mood.is_some(),
            seconds: self.requested.seconds,
            creativity: plan.creativity,
            dice: self.dice,
        };
        archetype::choose(&plan.library, &evidence, lexicon).ok_or_else(|| "the library has no archetype".to_owned())
    }

    fn shape(&self, plan: &PlanSpec) -> messages::spec::AspectRatio {
        plan.aspect_ratio.or(self.wishes.shape).unwrap_or_default()
    }

    fn audio(&self, plan: &PlanSpec) -> Audio {
        let (music_style, tempo) = match self.mood {
            Mood::Energetic => (MusicStyle::Energetic, Tempo::Fast),
            Mood::Elegant => (MusicStyle::Cinematic, Tempo::Slow),
            Mood::Minimalist => (MusicStyle::Calm, Tempo::Medium),
            Mood::Emotional => (MusicStyle::Cinematic, Tempo::Medium),
            Mood::Informative => (MusicStyle::Corporate, Tempo::Medium),
        };
        Audio {
            music_style: self.wishes.music.unwrap_or(music_style),
            tempo: self.wishes.tempo.unwrap_or(tempo),
            mood: self.wishes.music_mood.unwrap_or(self.mood),
            music: self.wishes.with_music.unwrap_or(!plan.video_model.own_sound),
            music_gain_db: 0.0,
            native_gain_db: 0.0,
            fade_in_s: 1.0,
            fade_out_s: 2.0,
        }
    }
}

/// The product's category in the spec, and every word that the library's `products` may call it by.
fn categories<'a>(plan: &'a PlanSpec, kind: Option<&'a Concept>, text: &Text) -> (String, Vec<&'a str>) {
    let known: Vec<&str> = plan.library.beats.iter().flat_map(|beat| &beat.products).map(String::as_str).collect();
    // A library may know categories that no list does: its own word in the prompt counts most.
    let said = known.iter().copied().find(|category| {
        let words = Text::read(category).words;
        *category != "all"
            && text.words.windows(words.len().max(1)).any(|window| {
                window.iter().zip(&words).all(|(said, word)| said.folded == word.folded) && !words.is_empty()
            })
    });
    let of_kind = kind.map(|kind| [kind.id.as_str(), kind.attribute("category"), kind.attribute("near")]);
    let words: Vec<&str> = of_kind.into_iter().flatten().filter(|word| !word.is_empty()).chain(said).collect();
    let own = kind.map(|kind| kind.attribute("category"));
    let near = kind.map(|kind| kind.attribute("near")).filter(|near| !near.is_empty());
    let category = (own.filter(|own| known.contains(own)).or(near.filter(|near| known.contains(near))))
        .or(said)
        .or(own)
        .unwrap_or("lifestyle");
    (category.to_owned(), words)
}

/// What a product without a name is called in languages that have no scene book.
fn nameless(language: &str, book: &scenes::SceneBook) -> String {
    match language {
        "ja" => "商品",
        "zh" => "产品",
        "uk" => "продукт",
        "pl" => "produkt",
        "nl" => "het product",
        _ => &book.product,
    }
    .to_owned()
}

fn usual_light(mood: Mood) -> &'static str {
    match mood {
        Mood::Energetic | Mood::Elegant => "dramatic",
        Mood::Minimalist | Mood::Informative => "studio",
        Mood::Emotional => "golden_hour",
    }
}

/// Lively films are cut, quiet ones flow; into the last beat every film of three or more goes through black.
fn transitions(beats: &[&LibraryBeat], mood: Mood) -> Vec<Transition> {
    let joints = beats.windows(2).enumerate();
    joints
        .filter_map(|(i, pair)| {
            let last = i + 2 == beats.len() && beats.len() > 2;
            let lively = pair.iter().any(|beat| beat.energy_level == Energy::High);
            let (kind, duration) = match mood {
                Mood::Energetic if last => (TransitionKind::Fade, 0.5),
                _ if last => (TransitionKind::Fade, 0.8),
                Mood::Energetic => (TransitionKind::Cut, 0.0),
                _ if lively => (TransitionKind::Cut, 0.0),
                Mood::Elegant => (TransitionKind::Crossfade, 0.8),
                Mood::Emotional => (TransitionKind::Crossfade, 1.0),
                Mood::Minimalist => (TransitionKind::Crossfade, 0.5),
                Mood::Informative => (TransitionKind::Cut, 0.0),
            };
            // A film has at most 36 beats.
            u32::try_from(i).ok().map(|after_beat| Transition { after_beat, kind, duration })
        })
        .collect()
}

fn why_beats(beats: &[&LibraryBeat], archetype: &Archetype, brief: &Brief<'_>) -> String {
    let ids: Vec<_> = beats.iter().map(|beat| beat.beat_id.as_str()).collect();
    let left_out: Vec<_> =
        archetype.suggested_beats.iter().map(String::as_str).filter(|id| !ids.contains(id)).collect();
    let added: Vec<_> = ids.iter().copied().filter(|id| !archetype.suggested_beats.iter().any(|s| s == id)).collect();
    let total = rounded_duration(brief.requested.seconds);
    let mut why = vec![brief.requested.why.clone()];
    if total != brief.requested.seconds {
        why.push(format!("Beats come in steps of 5 s, so they sum to {total} s."));
    }
    if left_out.is_empty() && added.is_empty() && ids.len() == archetype.suggested_beats.len() {
        why.push("The beats are those that the archetype suggests.".to_owned());
    } else {
        let mut change = "The archetype's beats were fitted to that length".to_owned();
        if !left_out.is_empty() {
            change.push_str(&format!("; left out: {}", left_out.join(", ")));
        }
        let mut distinct = added.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if !distinct.is_empty() {
            change.push_str(&format!(
                "; added because they suit {} and the {} mood: {}",
                brief.category,
                mood_id(brief.mood),
                distinct.join(", ")
            ));
        }
        why.push(format!("{change}."));
    }
    why.join(" ")
}

/// How lists and scene texts spell a mood.
pub fn mood_id(mood: Mood) -> &'static str {
    match mood {
        Mood::Energetic => "energetic",
        Mood::Elegant => "elegant",
        Mood::Minimalist => "minimalist",
        Mood::Emotional => "emotional",
        Mood::Informative => "informative",
    }
}

const MOODS: [Mood; 5] = [Mood::Energetic, Mood::Elegant, Mood::Minimalist, Mood::Emotional, Mood::Informative];

fn mood_from_id(id: &str) -> Option<Mood> {
    MOODS.into_iter().find(|mood| mood_id(*mood) == id)
}

fn mood_of_archetype(id: &str, lexicon: &Lexicon) -> Option<Mood> {
    MOODS.into_iter().find(|mood| lexicon.moods.concept(mood_id(*mood)).is_some_and(|c| c.attribute("archetype") == id))
}

#[cfg(test)]
mod prompts;
#[cfg(test)]
mod properties;
