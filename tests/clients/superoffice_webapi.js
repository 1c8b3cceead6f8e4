/*
 * Calls the Web API as a program on the npm package @superoffice/webapi does, through its LicenseAgent. README.md says
 * what it is told and what it prints.
 *
 *     node superoffice_webapi.js BASE-URL
 */

'use strict';

const readline = require('readline');
const { WebApi } = require('@superoffice/webapi');

/** By method of the agent, what it gave last. */
const given = {};

async function answer(base, { sign_in: [signIn, ...secrets], settings, call, arguments: wanted, options }) {
    const webapi = new WebApi({ baseUrl: base, ...settings });
    webapi[signIn](...secrets);
    const agent = webapi.getLicenseAgent();
    const seen = {};
    const zone = { responseCallback: (response) => (seen.zone = response.headers['so-timezone'] ?? null) };
    const parameters = [...wanted.map(argument), { ...options, ...zone }];
    try {
        seen.result = await agent[call](...parameters);
        given[call] = seen.result;
    } catch (error) {
        // What has no answer of the service is a mistake of this program.
        if (!error.response) throw error;
        seen.error = { code: error.code, status: error.response.status, data: error.response.data };
    }
    seen.status = parameters.at(-1).requestStatus;
    return seen;
}

/** A value as it is, or { result_of, at, but }: what a method gave last, or the part at a path, with some of it changed. */
function argument(value) {
    if (!value?.result_of) return value;
    const own = structuredClone(given[value.result_of]);
    const part = at(own, value.at ?? []);
    for (const [path, changed] of Object.entries(value.but ?? {})) {
        const names = path.split('.');
        at(part, names.slice(0, -1))[names.at(-1)] = changed;
    }
    return part;
}

function at(value, names) {
    return names.reduce((part, name) => part[name], value);
}

/** A Date is told from a text by its name, and what the answer did not have is told at all. */
function named(name, value) {
    const own = this[name];
    if (own === undefined) return 'undefined';
    return own instanceof Date ? `Date ${isNaN(own) ? 'invalid' : own.toISOString()}` : value;
}

async function main([base]) {
    for await (const line of readline.createInterface({ input: process.stdin })) {
        console.log(JSON.stringify(await answer(base, JSON.parse(line)), named));
    }
}

main(process.argv.slice(2));
