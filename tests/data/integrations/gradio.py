"""A bot that says what was said to it, word by word. The visitor's own pictures are shown, too."""

import time

import gradio


def answer(asked, _history):
    told = "You said:"
    for word in asked["text"].split():
        told += f" {word}"
        yield told
        time.sleep(0.1)


gradio.ChatInterface(answer, multimodal=True).launch()
