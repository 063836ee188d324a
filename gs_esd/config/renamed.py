"""Keys and values of options that had another name in earlier versions.

Read where old names may still come in: the command line, `.hydra/config.yaml` of a run directory,
and what finished runs recorded. They keep their old spelling for one version.
"""

RENAMED_KEYS: dict[str, str] = {
    "rendered": "variational",
    "rendered.memory": "variational.buffer_size",
    "prior.pictures": "prior.num_images",
    "prior.picture_size": "prior.image_size",
    "omega": "weighting",
}
"""Old dotted key, or group of keys, to the new one."""

RENAMED_CHOICES: dict[tuple[str, str], str] = {("timesteps", "certainty"): "entropic_time"}
"""(group, old choice) to the new choice."""


def renamed(key: str) -> str:
    """Today's name of a dotted key; a key that was never renamed is returned as it is.

    The longest entry of RENAMED_KEYS that is the key, or a group it lies in, counts.
    """
    prefixes = [old for old in RENAMED_KEYS if key == old or key.startswith(f"{old}.")]
    if not prefixes:
        return key
    old = max(prefixes, key=len)
    return RENAMED_KEYS[old] + key[len(old) :]
