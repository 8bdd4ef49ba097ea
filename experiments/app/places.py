"""Places of the page for files that visitors drop."""

import gradio as gr


def moved(place: gr.File) -> gr.File:
    """Return where files go that are dropped at a place, which is empty again at once.

    What an event triggers runs in turn. Emptied after the files were read, as answers come, the
    place would stay filled for seconds, and others that are dropped meanwhile would be lost.
    """
    held = gr.File(visible="hidden", file_count=place.file_count)
    place.upload(
        None,
        place,
        [held, place],
        js="(files) => [files, null]",
        show_progress="hidden",
        api_visibility="private",
    )
    return held
