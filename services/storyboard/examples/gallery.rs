//! Paints pictures to look at: `cargo run -p storyboard --example gallery -- FOLDER`. Change the lists below to see
//! other films.

use std::path::PathBuf;
use std::time::Instant;

use messages::catalogue::{Catalogue, Model, ModelKind};
use messages::spec::{AspectRatio, Beat, Mood, Product, Size, Style};
use messages::storyboard::DrawBeat;
use storyboard::painter::paint_png;

/// Product, category, palette, mood, lighting, scene.
type Film = (&'static str, &'static str, &'static [&'static str], Mood, &'static str, &'static str);

const FILMS: &[Film] = &[
    (
        "luxury watch",
        "luxury",
        &["#101820", "#c8a45c", "#f2ede4", "#5b6770"],
        Mood::Elegant,
        "dramatic",
        "A steel watch on black stone, first light on the dial, a single drop of water runs down the glass.",
    ),
    (
        "running shoes",
        "sportswear",
        &["#ff4d2e", "#1b1f3b", "#f7f4ea", "#22c1a4"],
        Mood::Energetic,
        "natural daylight",
        "A runner ties her shoes at sunrise, the city still asleep behind her.",
    ),
    (
        "skincare serum",
        "beauty",
        &["#f6efe9", "#e8b4a0", "#8a9a7b"],
        Mood::Minimalist,
        "soft diffused",
        "A glass flacon on pale linen, one leaf, morning light from the left.",
    ),
    (
        "family insurance",
        "home",
        &["#f2a65a", "#58809c", "#fbe9d0", "#2f3e46"],
        Mood::Emotional,
        "warm golden hour",
        "A woman opens the door of a small house, children run past her into the garden.",
    ),
    (
        "budget app",
        "tech",
        &["#2d6cdf", "#eef3fb", "#17c3b2", "#1f2a44"],
        Mood::Informative,
        "clean studio",
        "A hand holds a phone, the month's spending in three clear colours.",
    ),
    (
        "electric car",
        "automotive",
        &["#0b0f1a", "#e83f6f", "#32e0c4", "#6c5ce7"],
        Mood::Energetic,
        "neon glow",
        "An electric car glides along a wet road at night, signs mirrored in its doors.",
    ),
    (
        "Кофе",
        "food",
        &["#3b2417", "#c98d5b", "#f4e7d6"],
        Mood::Emotional,
        "мягкий естественный",
        "Чашка кофе на кухонном столе, пар поднимается в утреннем свете.",
    ),
    (
        "Zephyr",
        "all",
        &["#7a5cff", "#fdf6ff", "#ffb86b", "#2b1d4f"],
        Mood::Minimalist,
        "bright studio",
        "Something new is about to be opened.",
    ),
    (
        "diamond ring",
        "jewelry",
        &["#1d1a26", "#b79ced", "#f5f0ff"],
        Mood::Elegant,
        "soft",
        "A ring turns slowly, light breaks in the stone.",
    ),
    (
        "energy drink",
        "energy_drinks",
        &["#0d0d0d", "#d4ff00", "#ff3366", "#f5f5f5"],
        Mood::Energetic,
        "dramatic",
        "A can bursts out of ice, drops fly.",
    ),
    (
        "headphones",
        "tech",
        &["#222831", "#00adb5", "#eeeeee"],
        Mood::Minimalist,
        "backlit",
        "Headphones on a stand, silence becomes visible.",
    ),
    (
        "CRM software",
        "software",
        &["#ffffff", "#4361ee", "#f72585"],
        Mood::Informative,
        "natural",
        "A laptop on a desk, the dashboard fills with life.",
    ),
    (
        "handbag",
        "fashion",
        &["#000000", "#000000", "#000000"],
        Mood::Elegant,
        "dramatic",
        "A bag on a chair, that is all.",
    ),
    (
        "olive oil bottle",
        "food",
        &["#ffffff", "#ffffff", "#ffffff"],
        Mood::Minimalist,
        "soft",
        "Ένα μπουκάλι στο φως του πρωινού, δίπλα στη θάλασσα.",
    ),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "gallery".into()));
    let wanted: Vec<String> = arguments.collect();
    std::fs::create_dir_all(&folder)?;
    let catalogue = Catalogue::shipped()?;
    let model = catalogue.default_model(ModelKind::Image).ok_or("no image model")?;
    let has = |word: &str| wanted.iter().any(|w| w == word);
    let seeds = if has("seeds") { 6 } else { 1 };
    for (f, film) in FILMS.iter().enumerate() {
        if !wanted.is_empty() && wanted.iter().any(|w| w.starts_with("film")) && !has(&format!("film{f}")) {
            continue;
        }
        for (b, beat) in catalogue.beats.iter().enumerate() {
            if !has("all") && b != (f * 4) % 15 && !has(&format!("beat{b}")) && !wanted.contains(&beat.beat_id) {
                continue;
            }
            for seed in 0..seeds {
                for (name, size) in sizes(&has) {
                    let beat = Beat::from_library(beat, film.5.into());
                    let work = job(film, beat, b as u32, size, seed, model)?;
                    let start = Instant::now();
                    let png = paint_png(&work)?;
                    let file = folder.join(format!("f{f:02}_b{b:02}_{}_s{seed}_{name}.png", work.beat.beat_id));
                    eprintln!("{} {} ms {} kB", file.display(), start.elapsed().as_millis(), png.len() / 1000);
                    std::fs::write(file, png)?;
                }
            }
        }
    }
    Ok(())
}

fn sizes(has: &dyn Fn(&str) -> bool) -> Vec<(&'static str, Size)> {
    let all = [
        ("wide", AspectRatio::Landscape),
        ("tall", AspectRatio::Portrait),
        ("square", AspectRatio::Square),
        ("feed", AspectRatio::Feed),
    ];
    let named: Vec<_> = all.iter().filter(|(name, _)| has(name)).map(|(name, ratio)| (*name, ratio.size())).collect();
    if named.is_empty() { vec![("wide", AspectRatio::Landscape.size())] } else { named }
}

fn job(
    film: &Film,
    beat: Beat,
    index: u32,
    size: Size,
    seed: u64,
    model: &Model,
) -> Result<DrawBeat, Box<dyn std::error::Error>> {
    let (name, category, palette, mood, lighting, _) = *film;
    let color_palette = palette.iter().map(|hex| hex.parse()).collect::<Result<_, _>>()?;
    Ok(DrawBeat {
        beat_index: index,
        beat_count: 15,
        beat,
        style: Style { aesthetic: String::new(), color_palette, mood, lighting: lighting.into() },
        product: Product { name: name.into(), category: category.into() },
        size,
        seed: seed * 7919 + 11,
        model: model.clone(),
    })
}
