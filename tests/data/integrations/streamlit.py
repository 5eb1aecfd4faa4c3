"""A bot that says what was said to it, word by word, and shows the pictures that it was sent."""

import time

import streamlit


def answer(asked):
    yield "You said:"
    for word in asked.split():
        yield f" {word}"
        time.sleep(0.1)


said = streamlit.session_state.setdefault("said", [])
for who, text in said:
    streamlit.chat_message(who).write(text)
asked = streamlit.chat_input("Say something", accept_file=True)
if asked:
    streamlit.chat_message("user").write(asked.text)
    told = streamlit.chat_message("assistant").write_stream(answer(asked.text))
    for picture in asked.files:
        streamlit.image(picture)
    said.extend([("user", asked.text), ("assistant", told)])
