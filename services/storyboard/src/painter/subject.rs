//! What the film is about, as far as its shape goes: recognised from the product's name, its category and the scene.

use messages::spec::Product;

use super::vocabulary::{has_word, words};

/// The kinds of things that the painter knows to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A wrist watch.
    Watch,
    /// A ring with a stone.
    Ring,
    /// A perfume or skincare bottle.
    Flacon,
    /// A bottle to drink from.
    Bottle,
    /// A drinks can.
    Can,
    /// A cup of coffee or tea.
    Cup,
    /// A sneaker.
    Shoe,
    /// A bag.
    Bag,
    /// A telephone.
    Phone,
    /// A notebook computer.
    Laptop,
    /// Headphones.
    Headphones,
    /// A car.
    Car,
    /// A house.
    House,
    /// A package: whatever has no shape of its own here.
    Prism,
}

/// The words that name each kind, in the languages that briefs come in; a trailing `*` takes any ending. Earlier wins.
#[rustfmt::skip] // One word a line would bury the table.
const NAMES: &[(Subject, &[&str])] = &[
    (Subject::Headphones, &[
        "headphone*", "earphone*", "earbud*", "headset*", "kopfhörer", "casque", "auriculares", "наушник*",
        "ακουστικ*", "耳机", "ヘッドホン",
    ]),
    (Subject::Watch, &[
        "watch", "watches", "smartwatch*", "wristwatch*", "chronograph*", "timepiece*", "uhr", "uhren",
        "armbanduhr*", "montre*", "reloj*", "orologi*", "relógio*", "часы", "часов", "часами", "часах", "ρολόι",
        "ρολόγια", "手表", "腕時計", "시계",
    ]),
    (Subject::Ring, &[
        "ring", "rings", "jewel*", "diamond*", "necklace*", "earring*", "bracelet*", "schmuck*", "bijou*", "joya*",
        "joyería", "gioiell*", "кольц*", "украшен*", "ювелир*", "брилл*", "κόσμημα", "κοσμήματα", "珠宝", "戒指", "指輪",
    ]),
    (Subject::Laptop, &[
        "laptop*", "notebook*", "computer*", "macbook*", "software", "saas", "website*", "dashboard*", "platform",
        "ordinateur*", "portátil*", "ноутбук*", "компьютер*", "программ*", "υπολογιστ*", "笔记本", "电脑", "パソコン",
    ]),
    (Subject::Phone, &[
        "phone*", "smartphone*", "iphone*", "handy", "app", "apps", "mobile", "tablet*", "gadget*", "téléphone*",
        "teléfono*", "móvil*", "cellulare", "телефон*", "смартфон*", "приложен*", "κινητ*", "手机", "スマホ", "tech",
        "technology", "electronics",
    ]),
    (Subject::Shoe, &[
        "shoe*", "sneaker*", "trainers", "boot", "boots", "footwear", "sportswear", "schuh*", "turnschuh*",
        "laufschuh*", "chaussure*", "basket", "baskets", "zapat*", "zapatilla*", "scarpe", "scarpa", "tênis",
        "кроссов*", "обув*", "ботин*", "παπούτσι*", "运动鞋", "鞋", "スニーカー",
    ]),
    (Subject::Car, &[
        "car", "cars", "suv", "automobile*", "automotive", "vehicle*", "auto", "autos", "sedan", "roadster",
        "elektroauto*", "sportwagen", "wagen", "voiture*", "coche*", "carro", "macchina", "машин*", "автомобил*",
        "αυτοκίνητ*", "汽车", "电动车", "自動車", "車",
    ]),
    (Subject::Flacon, &[
        "perfume*", "parfum*", "fragrance*", "cologne", "skincare", "serum*", "cream*", "cosmetic*", "beauty",
        "lotion*", "shampoo*", "duft*", "kosmetik*", "creme", "crème", "crema", "profumo", "духи", "парфюм*",
        "аромат*", "крем*", "космет*", "άρωμα", "καλλυντικ*", "香水", "护肤", "化粧",
    ]),
    (Subject::Can, &[
        "cans", "soda*", "drink*", "energy-drink*", "energy_drinks", "drinks", "beverage*", "beer*", "canette*",
        "lata", "энергетик*", "банка", "汽水", "啤酒", "ビール",
    ]),
    (Subject::Cup, &[
        "coffee*", "espresso*", "tea", "cup", "mug", "latte", "cappuccino*", "kaffee*", "tee", "tasse", "café*",
        "caffè", "taza", "кофе*", "чай*", "кружк*", "καφέ*", "τσάι", "咖啡", "茶", "コーヒー",
    ]),
    (Subject::Bottle, &[
        "bottle*", "wine*", "water", "juice*", "whisk*", "vodka", "olive*", "flasche*", "wein*", "wasser*",
        "bouteille*", "vin", "botella*", "vino", "bottiglia", "бутыл*", "вино", "вина", "вода", "воды", "μπουκάλι",
        "κρασί", "瓶", "葡萄酒", "ワイン",
    ]),
    (Subject::Bag, &[
        "bag", "bags", "handbag*", "purse*", "tote*", "backpack*", "leather", "fashion", "tasche*", "handtasche*",
        "rucksack*", "sac", "bolso*", "bolsa*", "borsa", "сумк*", "рюкзак*", "мода", "τσάντα", "包", "バッグ",
    ]),
    (Subject::House, &[
        "house*", "home*", "apartment*", "villa*", "insurance", "estate", "mortgage*", "family", "hotel*", "haus",
        "wohnung*", "immobilie*", "versicherung*", "maison*", "casa", "дом", "дома", "дому", "доме", "квартир*",
        "страхов*", "σπίτι", "房子", "家", "住宅",
    ]),
];

impl Subject {
    /// Recognises the subject: the product's name says it best, then its category, then the scene's words.
    pub fn recognise(product: &Product, scene: &str) -> Self {
        [product.name.as_str(), product.category.as_str(), scene]
            .into_iter()
            .find_map(|text| {
                let words = words(&text.replace('_', "-"));
                NAMES.iter().find(|(_, names)| has_word(&words, names)).map(|(subject, _)| *subject)
            })
            .unwrap_or(Self::Prism)
    }

    /// Half its width and half its height; the larger of the two is a half.
    pub const fn half(self) -> (f32, f32) {
        match self {
            Self::Watch => (0.27, 0.5),
            Self::Ring => (0.38, 0.5),
            Self::Flacon => (0.3, 0.5),
            Self::Bottle => (0.155, 0.5),
            Self::Can => (0.26, 0.5),
            Self::Cup => (0.5, 0.42),
            Self::Shoe => (0.5, 0.29),
            Self::Bag => (0.4, 0.5),
            Self::Phone => (0.25, 0.5),
            Self::Laptop => (0.5, 0.33),
            Self::Headphones => (0.43, 0.5),
            Self::Car => (0.5, 0.165),
            Self::House => (0.5, 0.42),
            Self::Prism => (0.36, 0.5),
        }
    }

    /// The part worth seeing from very near, in its box.
    pub const fn focus(self) -> (f32, f32) {
        match self {
            Self::Watch => (0.05, -0.02),
            Self::Ring => (0.02, -0.3),
            Self::Flacon => (0.0, -0.12),
            Self::Bottle => (0.0, -0.05),
            Self::Can => (0.0, -0.05),
            Self::Cup => (0.02, -0.02),
            Self::Shoe => (0.05, 0.02),
            Self::Bag => (0.0, 0.02),
            Self::Phone => (0.02, -0.02),
            Self::Laptop => (0.05, -0.08),
            Self::Headphones => (0.27, 0.15),
            Self::Car => (0.3, 0.03),
            Self::House => (0.1, 0.05),
            Self::Prism => (0.05, -0.14),
        }
    }

    /// Whether people carry it: then it may stand beside one, and never in the grass as large as a tree.
    pub const fn is_portable(self) -> bool {
        !matches!(self, Self::Car | Self::House)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recognised(name: &str, category: &str, scene: &str) -> Subject {
        Subject::recognise(&Product { name: name.into(), category: category.into() }, scene)
    }

    #[test]
    fn products_are_recognised_in_several_languages() {
        for (name, subject) in [
            ("Luxury watch", Subject::Watch),
            ("швейцарские часы", Subject::Watch),
            ("高级手表", Subject::Watch),
            ("Laufschuhe", Subject::Shoe),
            ("voiture électrique", Subject::Car),
            ("eau de parfum", Subject::Flacon),
            ("ελληνικός καφές", Subject::Cup),
            ("smart-home app", Subject::Phone),
        ] {
            assert_eq!(recognised(name, "", ""), subject, "{name}");
        }
    }

    #[test]
    fn the_name_counts_before_category_and_scene() {
        assert_eq!(recognised("sneakers", "tech", "a car on a road"), Subject::Shoe);
        assert_eq!(recognised("Zephyr", "automotive", "a house by the sea"), Subject::Car);
        assert_eq!(recognised("Zephyr", "all", "a bottle on a table"), Subject::Bottle);
        assert_eq!(recognised("Zephyr", "all", "something nice"), Subject::Prism);
    }
}
