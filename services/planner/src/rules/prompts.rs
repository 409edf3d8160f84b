//! Prompts as people write them, and what must be found in them.

use messages::spec::AspectRatio;

use super::*;
use crate::handler::tests::plan_of;

struct Case {
    prompt: &'static str,
    name: &'static str,
    category: &'static str,
    template: &'static str,
    mood: Mood,
    seconds: u32,
    shape: AspectRatio,
    /// Hex codes that lead the palette.
    colors: &'static [&'static str],
}

const PLAIN: Case = Case {
    prompt: "",
    name: "",
    category: "",
    template: "",
    mood: Mood::Elegant,
    seconds: 30,
    shape: AspectRatio::Landscape,
    colors: &[],
};

/// What prompts are about, where the words around are easily mistaken for it.
const NAMES: &[(&str, &str)] = &[
    ("A dramatic teaser for a sci-fi video game, 10 seconds", "sci-fi video game"),
    ("Kurzer Clip für Instagram: Bio-Honig vom Imker, goldgelb", "Bio-Honig"),
    ("Make a promo for my YouTube channel about gardening", "YouTube channel"),
    ("Olive oil from Crete. Golden hour. 20 seconds.", "olive oil"),
    ("Funny commercial for a dog food brand", "dog food"),
    ("An ad for iPhone 17 Pro with calm piano", "iPhone 17 Pro"),
    ("Promociona mi gimnasio en Madrid, 15 segundos", "gimnasio"),
    ("Wedding photographer portfolio video, romantic", "wedding photographer portfolio"),
    ("Реклама нового смартфона, минимализм", "смартфона"),
    ("Laufschuhe", "Laufschuhe"),
    ("We need a 6-second bumper for our pizza delivery app", "pizza delivery app"),
    ("5 minute documentary about bees", "bees"),
    ("新しい抹茶ラテの広告、20秒、縦型", "抹茶ラテ"),
];

#[test]
fn the_product_is_told_from_the_words_around_it() {
    for (prompt, name) in NAMES {
        assert_eq!(super::plan(&plan_of(prompt)).expect("planned").product.name, *name, "{prompt}");
    }
}

const GOLD: &str = "#d4af37";
const BLACK: &str = "#111114";
const WHITE: &str = "#f7f5f0";
const RED: &str = "#c8202f";
const BLUE: &str = "#2459c9";
const GREEN: &str = "#2f8f4e";

const CASES: &[Case] = &[
    Case {
        prompt: "A 15 second ad for a mechanical watch, elegant, gold and black",
        name: "mechanical watch",
        category: "luxury",
        template: "luxury_showcase",
        seconds: 15,
        colors: &[GOLD, BLACK],
        ..PLAIN
    },
    Case {
        prompt: "Energetic TikTok for our new running shoes, 20s, neon green and black",
        name: "running shoes",
        category: "sportswear",
        template: "energetic_lifestyle",
        mood: Mood::Energetic,
        seconds: 20,
        shape: AspectRatio::Portrait,
        colors: &[GREEN, BLACK],
    },
    Case {
        prompt: "minimalist 10-second reveal of wireless headphones on a white background, square",
        name: "wireless headphones",
        category: "tech",
        template: "minimalist_reveal",
        mood: Mood::Minimalist,
        seconds: 10,
        shape: AspectRatio::Square,
        colors: &[WHITE],
    },
    Case {
        prompt: "A heartwarming one minute film about a family bakery",
        name: "family bakery",
        category: "lifestyle",
        template: "emotional_storytelling",
        mood: Mood::Emotional,
        seconds: 60,
        ..PLAIN
    },
    Case {
        prompt: "Luxury perfume commercial, half a minute, in burgundy",
        name: "perfume",
        category: "luxury",
        template: "luxury_showcase",
        colors: &["#6d1a36"],
        ..PLAIN
    },
    Case {
        prompt: "Create a 30 second explainer video showing how our expense app works",
        name: "expense app",
        category: "tech",
        template: "feature_demo",
        mood: Mood::Informative,
        ..PLAIN
    },
    Case {
        prompt: "Show a red sports car on a mountain road",
        name: "red sports car",
        category: "automotive",
        template: "feature_demo",
        mood: Mood::Energetic,
        colors: &[RED],
        ..PLAIN
    },
    Case {
        prompt: "An ad for a coffee brand called \"Nordic Roast\", cozy, 4:5",
        name: "Nordic Roast",
        category: "lifestyle",
        template: "emotional_storytelling",
        mood: Mood::Emotional,
        shape: AspectRatio::Feed,
        ..PLAIN
    },
    Case {
        prompt: "Ein eleganter 30-sekündiger Werbespot für eine mechanische Armbanduhr in Gold und Schwarz",
        name: "mechanische Armbanduhr",
        category: "luxury",
        template: "luxury_showcase",
        colors: &[GOLD, BLACK],
        ..PLAIN
    },
    Case {
        prompt: "Werbevideo für unsere neue Kaffeemaschine, 20 Sekunden, Hochformat, schlicht",
        name: "Kaffeemaschine",
        category: "appliances",
        template: "feature_demo",
        mood: Mood::Minimalist,
        seconds: 20,
        shape: AspectRatio::Portrait,
        ..PLAIN
    },
    Case {
        prompt: "Laufschuhe, dynamisch, rot und weiß, eine halbe Minute",
        name: "Laufschuhe",
        category: "sportswear",
        template: "energetic_lifestyle",
        mood: Mood::Energetic,
        colors: &[RED, WHITE],
        ..PLAIN
    },
    Case {
        prompt: "Un anuncio de 20 segundos para un reloj mecánico, elegante, dorado y negro",
        name: "reloj mecánico",
        category: "luxury",
        template: "luxury_showcase",
        seconds: 20,
        colors: &[GOLD, BLACK],
        ..PLAIN
    },
    Case {
        prompt: "Vídeo vertical de treinta segundos sobre zapatillas de correr, enérgico, azul",
        name: "zapatillas de correr",
        category: "sportswear",
        template: "energetic_lifestyle",
        mood: Mood::Energetic,
        shape: AspectRatio::Portrait,
        colors: &[BLUE],
        ..PLAIN
    },
    Case {
        prompt: "Une publicité de 20 secondes pour une crème hydratante, épurée, blanche et verte",
        name: "crème hydratante",
        category: "beauty",
        template: "minimalist_reveal",
        mood: Mood::Minimalist,
        seconds: 20,
        colors: &[WHITE, GREEN],
        ..PLAIN
    },
    Case {
        prompt: "Pub pour un parfum de luxe, 15 secondes, noir et or",
        name: "parfum de luxe",
        category: "luxury",
        template: "luxury_showcase",
        seconds: 15,
        colors: &[BLACK, GOLD],
        ..PLAIN
    },
    Case {
        prompt: "Uno spot di 25 secondi per una macchina da caffè, caldo e accogliente, rosso",
        name: "macchina da caffè",
        category: "appliances",
        template: "feature_demo",
        mood: Mood::Emotional,
        seconds: 25,
        colors: &[RED],
        ..PLAIN
    },
    Case {
        prompt: "Um anúncio de 15 segundos para um relógio de luxo, preto e dourado",
        name: "relógio de luxo",
        category: "luxury",
        template: "luxury_showcase",
        seconds: 15,
        colors: &[BLACK, GOLD],
        ..PLAIN
    },
    Case {
        prompt: "Рекламный ролик на 20 секунд для механических часов, элегантно, золото и черный цвет",
        name: "механических часов",
        category: "luxury",
        template: "luxury_showcase",
        seconds: 20,
        colors: &[GOLD, BLACK],
        ..PLAIN
    },
    Case {
        prompt: "Реклама кроссовок, 15 секунд, энергично, вертикальное видео, красный",
        name: "кроссовок",
        category: "sportswear",
        template: "energetic_lifestyle",
        mood: Mood::Energetic,
        seconds: 15,
        shape: AspectRatio::Portrait,
        colors: &[RED],
    },
    Case {
        prompt: "Ролик про умный дом, спокойно, полминуты",
        name: "умный дом",
        category: "tech",
        template: "minimalist_reveal",
        mood: Mood::Minimalist,
        ..PLAIN
    },
    Case {
        prompt: "Реклама для нашої кав'ярні, 20 секунд, затишно",
        name: "кав'ярні",
        category: "lifestyle",
        template: "emotional_storytelling",
        mood: Mood::Emotional,
        seconds: 20,
        ..PLAIN
    },
    Case {
        prompt: "Reklama nowych butów sportowych, 15 sekund, dynamiczna, czerwony",
        name: "butów sportowych",
        category: "sportswear",
        template: "energetic_lifestyle",
        mood: Mood::Energetic,
        seconds: 15,
        colors: &[RED],
        ..PLAIN
    },
    Case {
        prompt: "Een reclame van 15 seconden voor een horloge, stijlvol, goud en zwart",
        name: "horloge",
        category: "luxury",
        template: "luxury_showcase",
        seconds: 15,
        colors: &[GOLD, BLACK],
        ..PLAIN
    },
    Case {
        prompt: "15秒の腕時計の広告、エレガント、金と黒",
        name: "腕時計",
        category: "luxury",
        template: "luxury_showcase",
        seconds: 15,
        colors: &[GOLD, BLACK],
        ..PLAIN
    },
    Case {
        prompt: "为一款机械手表制作三十秒广告，优雅，黑色和金色，竖屏",
        name: "机械手表",
        category: "luxury",
        template: "luxury_showcase",
        shape: AspectRatio::Portrait,
        colors: &[BLACK, GOLD],
        ..PLAIN
    },
    Case {
        prompt: "electric SUV, cinematic, dark blue, 45 seconds",
        name: "electric SUV",
        category: "automotive",
        template: "feature_demo",
        mood: Mood::Energetic,
        seconds: 45,
        colors: &["#13264f"],
        ..PLAIN
    },
    Case {
        prompt: "Charity spot for an animal shelter, touching, a minute and a half",
        name: "animal shelter",
        category: "home",
        template: "emotional_storytelling",
        mood: Mood::Emotional,
        seconds: 90,
        ..PLAIN
    },
];

#[test]
fn prompts_in_many_languages_are_understood() {
    let mut missed = Vec::new();
    for case in CASES {
        let plan = plan_of(case.prompt);
        let spec = super::plan(&plan).expect("planned");
        let mut expect = |what: &str, found: String, wanted: String| {
            if found != wanted {
                missed.push(format!("{}\n    {what}: {found}, not {wanted}", case.prompt));
            }
        };
        expect("name", spec.product.name.clone(), case.name.into());
        expect("category", spec.product.category.clone(), case.category.into());
        expect("template", spec.template.clone(), case.template.into());
        expect("mood", mood_id(spec.style.mood).into(), mood_id(case.mood).into());
        expect("seconds", spec.duration.to_string(), case.seconds.to_string());
        expect("shape", format!("{:?}", spec.aspect_ratio), format!("{:?}", case.shape));
        let lead: Vec<_> = spec.style.color_palette.iter().take(case.colors.len()).map(ToString::to_string).collect();
        expect("colours", lead.join(" "), case.colors.join(" "));
        assert_eq!(spec.violations(&plan.library, Some(case.seconds)), [], "{}", case.prompt);
    }
    assert!(missed.is_empty(), "\n{}", missed.join("\n"));
}

#[test]
fn scenes_are_written_in_the_language_of_the_prompt() {
    for (prompt, words) in [
        ("Ein Werbespot für eine Lampe", ["Stimmung", "Überflüssiges"]),
        ("Un anuncio para una lámpara", ["ambiente", "superfluo"]),
        ("Une publicité pour une lampe", ["ambiance", "superflu"]),
        ("Uno spot per una lampada", ["atmosfera", "superfluo"]),
        ("Um anúncio para uma luminária", ["clima", "supérfluo"]),
        ("Реклама лампы", ["настроение", "лишнего"]),
        ("ランプの広告", ["mood", "superfluous"]),
    ] {
        for beat in super::plan(&plan_of(prompt)).expect("planned").beats {
            assert!(words.iter().any(|word| beat.prompt.contains(word)), "{prompt}: {}", beat.prompt);
        }
    }
}
