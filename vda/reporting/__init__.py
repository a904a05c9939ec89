"""A scene's depth on one page, for a person to judge it by; and a page that leads to many of them.

    verdict  what the figures say, in words, and what to do about it
    work     what a report is made of
    looking  frames with their depth, the worst of them, and the film
    making   who computed it when, and what was asked and used
    report   one page to judge a scene's depth by
    index    one page that leads to those of many scenes, the worst first

Nothing here measures anything, or changes depth.
"""
