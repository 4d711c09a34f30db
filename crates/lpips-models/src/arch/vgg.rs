//! VGG without batch normalisation as in torchvision (Simonyan and Zisserman, 2014; configurations A, B, D and E).

use super::table::{Architecture, HubFile, Initialiser, Layer, Published, conv, pool};

const fn conv3(name: &'static str, index: usize, out: usize) -> Layer {
    conv(name, index, out, 3, 1, 1)
}

const fn pool2(name: &'static str) -> Layer {
    pool(name, 2, 2, false)
}

pub(super) const VGG11: Architecture = Architecture {
    id: "vgg11",
    features: &[
        conv3("conv1_1", 0, 64),
        pool2("pool1"),
        conv3("conv2_1", 3, 128),
        pool2("pool2"),
        conv3("conv3_1", 6, 256),
        conv3("conv3_2", 8, 256),
        pool2("pool3"),
        conv3("conv4_1", 11, 512),
        conv3("conv4_2", 13, 512),
        pool2("pool4"),
        conv3("conv5_1", 16, 512),
        conv3("conv5_2", 18, 512),
        pool2("pool5"),
    ],
    taps: &["conv1_1", "conv2_1", "conv3_2", "conv4_2", "conv5_2"],
    initialiser: Initialiser::KaimingNormal,
    published: None,
};

pub(super) const VGG13: Architecture = Architecture {
    id: "vgg13",
    features: &[
        conv3("conv1_1", 0, 64),
        conv3("conv1_2", 2, 64),
        pool2("pool1"),
        conv3("conv2_1", 5, 128),
        conv3("conv2_2", 7, 128),
        pool2("pool2"),
        conv3("conv3_1", 10, 256),
        conv3("conv3_2", 12, 256),
        pool2("pool3"),
        conv3("conv4_1", 15, 512),
        conv3("conv4_2", 17, 512),
        pool2("pool4"),
        conv3("conv5_1", 20, 512),
        conv3("conv5_2", 22, 512),
        pool2("pool5"),
    ],
    taps: &["conv1_2", "conv2_2", "conv3_2", "conv4_2", "conv5_2"],
    initialiser: Initialiser::KaimingNormal,
    published: None,
};

pub(super) const VGG16: Architecture = Architecture {
    id: "vgg16",
    features: &[
        conv3("conv1_1", 0, 64),
        conv3("conv1_2", 2, 64),
        pool2("pool1"),
        conv3("conv2_1", 5, 128),
        conv3("conv2_2", 7, 128),
        pool2("pool2"),
        conv3("conv3_1", 10, 256),
        conv3("conv3_2", 12, 256),
        conv3("conv3_3", 14, 256),
        pool2("pool3"),
        conv3("conv4_1", 17, 512),
        conv3("conv4_2", 19, 512),
        conv3("conv4_3", 21, 512),
        pool2("pool4"),
        conv3("conv5_1", 24, 512),
        conv3("conv5_2", 26, 512),
        conv3("conv5_3", 28, 512),
        pool2("pool5"),
    ],
    taps: &["conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3"],
    initialiser: Initialiser::KaimingNormal,
    published: Some(Published {
        sha256: "40acdda7c6b05249f81637b2571671ce938507c5f986db17af374cf62a2f42a6",
        torchvision: "vgg16-397923af.pth",
        hub: &[
            HubFile { repo: "achiru/DiffSynth-Studio-ImageMetrics", revision: "main", file: "LPIPS/vgg.safetensors" },
            HubFile {
                repo: "timm/vgg16.tv_in1k",
                revision: "b8d8aa2dd860af9233c8c67385a8097fd6c35d3f",
                file: "model.safetensors",
            },
        ],
    }),
};

pub(super) const VGG19: Architecture = Architecture {
    id: "vgg19",
    features: &[
        conv3("conv1_1", 0, 64),
        conv3("conv1_2", 2, 64),
        pool2("pool1"),
        conv3("conv2_1", 5, 128),
        conv3("conv2_2", 7, 128),
        pool2("pool2"),
        conv3("conv3_1", 10, 256),
        conv3("conv3_2", 12, 256),
        conv3("conv3_3", 14, 256),
        conv3("conv3_4", 16, 256),
        pool2("pool3"),
        conv3("conv4_1", 19, 512),
        conv3("conv4_2", 21, 512),
        conv3("conv4_3", 23, 512),
        conv3("conv4_4", 25, 512),
        pool2("pool4"),
        conv3("conv5_1", 28, 512),
        conv3("conv5_2", 30, 512),
        conv3("conv5_3", 32, 512),
        conv3("conv5_4", 34, 512),
        pool2("pool5"),
    ],
    taps: &["conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4"],
    initialiser: Initialiser::KaimingNormal,
    published: None,
};
