#include "report/sections.h"

namespace ditq {

const std::string& page_script() {
  // Without it the page shows the same: all pairs, side by side.
  static const std::string script = R"js(
(() => {
  'use strict';
  const root = document.documentElement;

  // A slider: the candidate lies over the reference, and the range input says how much of it is cut away.
  function addSlider(pair, name) {
    const range = document.createElement('input');
    range.type = 'range';
    range.min = 0;
    range.max = 100;
    range.step = 0.5;
    range.value = 50;
    range.setAttribute('aria-label', name + ': divider between reference (left) and candidate (right)');
    const place = () => {
      pair.style.setProperty('--divider', range.value + '%');
      range.setAttribute('aria-valuetext', Math.round(range.value) + ' % reference');
    };
    range.addEventListener('input', place);
    const handle = document.createElement('span');
    handle.className = 'divider';
    handle.setAttribute('aria-hidden', 'true');
    pair.append(handle, range);
    pair.classList.add('slider');
    const follow = (event) => {
      const box = pair.getBoundingClientRect();
      range.value = (event.clientX - box.left) / box.width * 100;
      place();
    };
    pair.addEventListener('pointerdown', (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      range.focus({preventScroll: true});
      pair.setPointerCapture(event.pointerId);
      follow(event);
    });
    pair.addEventListener('pointermove', (event) => {
      if (pair.hasPointerCapture(event.pointerId)) follow(event);
    });
    place();
  }

  // A chooser: one pair at a time, with small pictures to choose by.
  function addChooser(chooser, runs) {
    const buttons = runs.map((run) => {
      const button = document.createElement('button');
      button.type = 'button';
      const picture = run.querySelector('.candidate img');
      if (picture) {
        const small = document.createElement('img');
        small.src = picture.src;
        small.alt = '';
        button.append(small);
      }
      const name = document.createElement('span');
      name.textContent = run.dataset.name;
      const badge = document.createElement('small');
      badge.textContent = run.dataset.badge;
      button.append(name, badge);
      button.addEventListener('click', () => choose(runs.indexOf(run)));
      chooser.append(button);
      return button;
    });
    function choose(chosen) {
      runs.forEach((run, i) => run.classList.toggle('shown', i === chosen));
      buttons.forEach((button, i) => button.setAttribute('aria-pressed', String(i === chosen)));
    }
    choose(0);
  }

  const runs = [...document.querySelectorAll('article.run')];
  for (const run of runs) {
    const pair = run.querySelector('.pair.same-size');
    if (pair) addSlider(pair, run.dataset.name);
  }
  const chooser = document.querySelector('.chooser');
  if (chooser && runs.length > 1) addChooser(chooser, runs);
  else if (runs.length === 1) runs[0].classList.add('shown');
  root.classList.add('script');
})();
)js";
  return script;
}

}  // namespace ditq
