/*
 * Calls the NetServer services as a program on the npm package soap does. README.md says what it is told and what it
 * prints.
 *
 *     node netserver_node.js LICENSE-WSDL PRINCIPAL-WSDL USER PASSWORD OWNER ASSOCIATE-ID [BASE-URL]
 */

'use strict';

const soap = require('soap');

async function service(wsdl, name, base) {
    const client = await soap.createClientAsync(wsdl, {
        handleNilAsNull: true,
        // A Date does not know whether its text named a zone.
        customDeserializer: { dateTime: (text) => (isNaN(Date.parse(text)) ? null : text) },
    });
    if (base) client.setEndpoint(`${base}/Remote/Services86/${name}.svc`);
    return client;
}

async function call(client, operation, given, headers) {
    client.clearSoapHeaders();
    for (const [name, value] of Object.entries({ ApplicationToken: '1234567-1234-9876', ...headers })) {
        client.addSoapHeader({ [name]: value }, '', 'tns', client.wsdl.definitions.$targetNamespace);
    }
    // The third is the header of the answer. soap does not look up what its blocks are: all in them is text.
    const [body, , header] = await client[`${operation}Async`](given);
    const zone = header.TimeZone;
    return {
        header: plain({
            ...header,
            Succeeded: { true: true, false: false }[header.Succeeded],
            TimeZone: zone && { ...zone, SoTimeZoneId: zone.SoTimeZoneId && Number(zone.SoTimeZoneId) },
        }),
        body: plain(body ?? {}),
    };
}

// As JSON, without the members in which nothing is.
function plain(value) {
    if (Array.isArray(value)) return value.map(plain);
    if (value === null || typeof value !== 'object') return value;
    const members = Object.entries(value).map(([name, member]) => [name, plain(member)]);
    return Object.fromEntries(members.filter(([, member]) => !isNothing(member)));
}

function isNothing(value) {
    return value == null || value === '' || (typeof value === 'object' && Object.keys(value).length === 0);
}

async function main([licenseWsdl, principalWsdl, user, password, owner, associate, base]) {
    const principal = await service(principalWsdl, 'SoPrincipal', base);
    const license = await service(licenseWsdl, 'License', base);

    const signIn = (text) => call(principal, 'AuthenticateUsernamePassword', { UserName: user, Password: text }, {});
    const login = await signIn(password);
    const ticket = login.body.Credentials.Ticket;

    const ask = (operation, given, headers) =>
        call(license, operation, given, { Credentials: { Ticket: ticket }, ...headers });

    const ofOwner = { OwnerName: owner };
    const ofNobody = { OwnerName: 'NOBODY' };
    const ofAssociate = { AssociateId: Number(associate) };
    const ofBoth = { ...ofAssociate, ModuleOwner: owner };
    const modules = { ...ofBoth, ModuleLicenseNames: { string: ['SQLBACKUP'] } };
    const seen = {
        login,
        wrong_password: await signIn(`${password}?`),
        system_info: await call(principal, 'GetSystemInfo', {}, {}),
        license: await ask('GetLicenseFromLicenseServer', ofOwner),
        stored: await ask('GetLicenseFromDB', ofOwner),
        status: await ask('GetLicenseStatusFromLicenseServer', ofOwner),
        user: await ask('GetUserLicenses', ofAssociate),
        assign: await ask('AssignThirdPartyLicenses', modules),
        assigned: await ask('GetThirdPartyLicenseAssignments', ofBoth),
        license_assigned: await ask('GetLicenseFromLicenseServer', ofOwner),
        unassign: await ask('UnassignThirdPartyLicenses', modules),
        wrong_ticket: await ask('GetLicenseFromLicenseServer', ofOwner, { Credentials: { Ticket: '7T:garbage' } }),
        unknown_owner: await ask('GetLicenseFromLicenseServer', ofNobody),
        unknown_owner_status: await ask('GetLicenseStatusFromLicenseServer', ofNobody),
        in_norway: await ask('GetLicenseFromLicenseServer', ofOwner, { TimeZone: { SoTimeZoneLocationCode: 'NO' } }),
    };
    if (license.GetUserAndInstallationLicenceStatusAsync) {
        seen.user_status = await ask('GetUserAndInstallationLicenceStatus', ofAssociate);
    }
    console.log(JSON.stringify(seen));
}

main(process.argv.slice(2));
